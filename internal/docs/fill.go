package docs

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Fill rewrites the pages in dir whose blocks differ from their sources, and
// reports to out what it did and what a hand has to mend.
func Fill(dir string, out io.Writer) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the repository: %w", err)
	}
	defer func() { _ = root.Close() }()

	changed, err := Sync(root.FS())
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if err := root.WriteFile(name, []byte(changed[name]), 0o644); err != nil {
			return fmt.Errorf("write page: %w", err)
		}
		fmt.Fprintln(out, "filled", name)
	}
	return report(root, out)
}

func report(root *os.Root, out io.Writer) error {
	problems, err := Check(root.FS())
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintln(out, p)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d problems are left", len(problems))
	}
	return nil
}
