package postgres

import "strings"

// schema is the PostgreSQL schema that a store is in. SQL in this package is
// written for the schema evident, so that it can be read and tried out as it
// stands.
type schema string

// sql returns a statement for this schema.
func (s schema) sql(statement string) string {
	if s == defaultSchema {
		return statement
	}
	return strings.ReplaceAll(statement, defaultSchema+".", string(s)+".")
}
