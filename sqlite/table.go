package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/evident-go/evident/event"
)

// Table declares a table of the projection: its name, and what stands between
// the parentheses of CREATE TABLE. The runner creates it before the first
// event; a reset drops it and creates it anew. What follows are statements that
// are run when it was created, for example CREATE INDEX, about things that go
// when the table is dropped: indexes and triggers, not views.
//
//	sqlite.Table("titles", "id BLOB PRIMARY KEY, title TEXT NOT NULL",
//		"CREATE INDEX titles_by_title ON titles (title)")
//
// The table belongs to this projection alone. If it exists with another
// definition the projection stops with a [*event.DefinitionError]: changed
// columns need a reset, or a new version of the projection and a table of
// another name.
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
		"pseudonyms", "snapshots", "user_activity",
	}
}

// declareTables refuses names that need quoting or belong to somebody else, and
// tables that are declared twice; the others a reset creates anew.
func (d *declaration) declareTables() {
	seen := make(map[string]bool)
	for _, name := range ownTables() {
		seen[name] = true
	}
	for _, t := range d.tables {
		lower := strings.ToLower(t.name) // as SQLite compares names
		switch {
		case !isIdentifier(t.name), strings.HasPrefix(lower, "sqlite_"):
			d.Refuse(fmt.Sprintf("table %q must be named by letters, digits and underscores, and not start with a digit or with sqlite_", t.name))
		case seen[lower]:
			d.Refuse(fmt.Sprintf("table %q is declared twice or is one of the store's own", t.name))
		}
		seen[lower] = true
		d.OnReset(t.recreate)
	}
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

// definition returns the statement that creates the table. SQLite keeps its
// text.
func (t table) definition() string { return fmt.Sprintf("CREATE TABLE %s (%s)", t.name, t.columns) }

// prepare creates the table unless it is there.
func (t table) prepare(ctx context.Context, tx *sql.Tx, projection string) error {
	var definition string
	err := tx.QueryRowContext(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", t.name).Scan(&definition)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return t.create(ctx, tx)
	case err != nil:
		return fmt.Errorf("look for table %s: %w", t.name, err)
	case definition != t.definition():
		return &event.DefinitionError{Subject: projection, Reason: fmt.Sprintf("table %q exists with another definition: give the projection a new version and a new table", t.name)}
	default:
		return nil
	}
}

func (t table) create(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range append([]string{t.definition()}, t.then...) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create table %s: %w", t.name, err)
		}
	}
	return nil
}

func (t table) recreate(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+t.name); err != nil {
		return fmt.Errorf("drop table %s: %w", t.name, err)
	}
	return t.create(ctx, tx)
}
