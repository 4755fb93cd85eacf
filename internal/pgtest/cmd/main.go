// Command cmd prints the folder of PostgreSQL's server programs, or fails if
// they are not installed. The Makefile asks it.
package main

import (
	"fmt"
	"os"

	"github.com/evident-go/evident/internal/pgtest"
)

func main() {
	folder, err := pgtest.Find()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(folder)
}
