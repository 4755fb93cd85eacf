// Command cmd prints what measured figures come to when there are many of them:
// all tables of docs/scale.md, or those that are named. Run it from the top of
// the repository: go run ./internal/scale/cmd waiting leaders.
package main

import (
	"fmt"
	"os"

	"github.com/evident-go/evident/internal/scale"
)

func main() {
	if err := scale.Print(os.Stdout, os.Args[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}
