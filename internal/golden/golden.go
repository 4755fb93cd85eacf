// Package golden compares what a program prints with a file that is kept
// beside its test, and is what the documentation quotes.
package golden

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// UpdateVariable names the environment variable that, set to anything, makes
// [Compare] write the files instead of comparing with them. It is a variable and
// not a flag so that `go test ./...` can be run with it: packages without
// golden files would refuse a flag.
const UpdateVariable = "EVIDENT_UPDATE_GOLDEN"

// T is the part of *testing.T that Compare needs.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Compare fails the test unless got is what file holds, and then shows the
// lines that differ. The file's path is relative to the package under test,
// usually "testdata/output.txt".
func Compare(t T, got []byte, file string) {
	t.Helper()
	if os.Getenv(UpdateVariable) != "" {
		if err := write(file, got); err != nil {
			t.Errorf("golden file: %v", err)
		}
		return
	}
	want, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) {
		t.Errorf("golden file %s does not exist; run the test with %s=1 to write it, and read it before you commit it", file, UpdateVariable)
		return
	}
	if err != nil {
		t.Errorf("golden file: %v", err)
		return
	}
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		t.Errorf("output differs from %s (-want +got); run the test with %s=1 if it is right now:\n%s", file, UpdateVariable, diff)
	}
}

func write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// lines splits a text, taking no notice of how a checkout ends its lines.
func lines(text []byte) []string {
	return strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
}
