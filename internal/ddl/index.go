// Package ddl reads the statements by which projections declare what their
// tables have.
package ddl

import (
	"fmt"
	"regexp"
	"strings"
)

// Index is an index that a projection makes last. Names are in lower case.
type Index struct {
	Name      string
	Table     string
	Statement string
}

var indexStatement = regexp.MustCompile(`(?i)^\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)\s+ON\s+([\w.]+)\s*(?:USING\s+\w+\s*)?\([^;]*$`)

// Indexes reads statements. It gives refuse a reason for each that is something
// else than the creation of one index, for one that is declared twice, and for
// one that is on a table which owns says is not the projection's: it would
// outlast a reset.
func Indexes(statements []string, owns func(table string) bool, refuse func(reason string)) (indexes []Index) {
	seen := make(map[string]bool)
	for _, statement := range statements {
		parts := indexStatement.FindStringSubmatch(statement)
		if parts == nil {
			refuse(fmt.Sprintf("index %q must be one statement: CREATE INDEX name ON table (…), UNIQUE or not", statement))
			continue
		}
		i := Index{Name: strings.ToLower(parts[1]), Table: strings.ToLower(parts[2]), Statement: statement}
		switch {
		case !owns(i.Table):
			refuse(fmt.Sprintf("index %q is on %q, which is no table of this projection", i.Name, i.Table))
		case seen[i.Name]:
			refuse(fmt.Sprintf("index %q is declared twice", i.Name))
		}
		seen[i.Name] = true
		indexes = append(indexes, i)
	}
	return indexes
}
