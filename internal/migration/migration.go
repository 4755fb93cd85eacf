// Package migration reads the steps of a store's schema, as adapters embed them.
package migration

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/evident-go/evident/event"
)

// Folder is where an adapter has its steps: files such as 0001_events.sql.
const Folder = "migrations"

// Step is one step of a schema. Its version is the number in front of its
// file's name.
type Step struct {
	Version int
	Script  string
}

// Steps returns all steps in order. A number that is missing or given twice is
// an [*event.DefinitionError].
func Steps(files fs.FS) ([]Step, error) {
	names, err := fs.Glob(files, Folder+"/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]Step, len(names))
	for i, name := range names {
		script, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		number, _, _ := strings.Cut(path.Base(name), "_")
		if version, err := strconv.Atoi(number); err != nil || version != i+1 {
			return nil, &event.DefinitionError{Subject: name, Reason: fmt.Sprintf("must be migration %d", i+1)}
		}
		steps[i] = Step{Version: i + 1, Script: string(script)}
	}
	return steps, nil
}
