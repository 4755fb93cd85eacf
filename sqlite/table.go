package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/evident-go/evident/registry"
)

// Table declares a table of the projection: its name, and what stands between
// the parentheses of CREATE TABLE. The runner creates it before the first
// event; a reset drops it and creates it anew. What follows are statements that
// are run when it was created, for example CREATE INDEX, about things that go
// when the table is dropped: indexes and triggers, not views. An index that only
// readers need is better declared by [Index].
//
//	sqlite.Table("titles", "id BLOB PRIMARY KEY, title TEXT NOT NULL",
//		"CREATE INDEX titles_by_title ON titles (title)")
//
// The table belongs to this version of this projection alone, which is written
// down in the file. If it exists and was made by somebody else, or by other
// statements, the projection stops with a [*event.DefinitionError]: changed
// statements need a reset, or a new version of the projection and a table of
// another name, which a [View] can hide from readers.
func Table(name, columns string, then ...string) Part {
	return func(d *declaration) { d.tables = append(d.tables, table{name: name, columns: columns, then: then}) }
}

// table is a table that a projection owns.
type table struct {
	name    string
	columns string
	then    []string
}

// ownTables are those of the store itself.
func ownTables() []string {
	return []string{
		"audit_log", "checkpoints", "dead_letter_sequences", "dead_letters", "discarded_letters", "events", "leases", "legal_holds", "meta",
		"projection_tables", "projections", "pseudonyms", "snapshots", "user_activity",
	}
}

// declareTables refuses names that need quoting or belong to somebody else, and
// tables that are declared twice; the others a reset creates anew. It returns
// the names that are taken.
func (d *declaration) declareTables() map[string]bool {
	seen := make(map[string]bool)
	for _, name := range ownTables() {
		seen[name] = true
	}
	for _, t := range d.tables {
		d.declareName(kindTable, t.name, seen)
		d.OnReset(func(ctx context.Context, tx *sql.Tx) error { return t.relation(d.name, tx).replace(ctx) })
	}
	return seen
}

func (d *declaration) declareName(kind, name string, seen map[string]bool) {
	lower := strings.ToLower(name) // as SQLite compares names
	switch {
	case !isIdentifier(name), strings.HasPrefix(lower, "sqlite_"):
		d.Refuse(fmt.Sprintf("%s %q must be named by letters, digits and underscores, and not start with a digit or with sqlite_", kind, name))
	case seen[lower]:
		d.Refuse(fmt.Sprintf("%s %q is declared twice or is one of the store's own", kind, name))
	}
	seen[lower] = true
}

func isIdentifier(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// relation returns the table at work: of a version of a projection, in a transaction.
func (t table) relation(of registry.Name, tx *sql.Tx) relation {
	return relation{kind: kindTable, name: t.name, definition: fmt.Sprintf("CREATE TABLE %s (%s)", t.name, t.columns), then: t.then, of: of, tx: tx}
}

// prepare creates a table unless it is there.
func (r relation) prepare(ctx context.Context) error {
	f, err := r.look(ctx)
	if err != nil {
		return err
	}
	if f.kind == "" {
		return r.create(ctx)
	}
	if err := r.checkOwner(f); err != nil {
		return err
	}
	if f.noted == "" {
		return r.note(ctx)
	}
	if f.definition != r.definition || f.text != r.text() {
		return r.refuse("exists with another definition: reset the projection, or give it a new version and a new table")
	}
	return nil
}
