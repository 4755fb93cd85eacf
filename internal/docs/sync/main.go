// Command sync fills the code blocks of README.md and docs from the files that
// they name. Run it from the top of the repository: make docs.
package main

import (
	"fmt"
	"os"

	"github.com/evident-go/evident/internal/docs"
)

func main() {
	if err := docs.Fill(".", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sync:", err)
		os.Exit(1)
	}
}
