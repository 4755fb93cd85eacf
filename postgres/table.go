package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
)

// Table declares a table of the projection: its name, and what stands between
// the parentheses of CREATE TABLE. The runner creates it before the first event,
// and [DeployInline] that of an inline projection: no [Migrate] and no
// deployment of yours does. Until then it does not exist. A reset drops it and
// creates it anew. What follows are statements that
// are run when it was created, for example CREATE INDEX, about things that go
// when the table is dropped: indexes, triggers and rights, not views.
//
//	postgres.Table("titles", "id uuid PRIMARY KEY, title text NOT NULL",
//		"CREATE INDEX titles_by_title ON titles (title)")
//
// A name without a schema is found where handlers find it: in the first schema
// of the connection's search_path, usually public. It can be qualified, as
// reporting.titles. The schema must exist and not be the store's own.
//
// The table belongs to this version of this projection alone. If it exists and
// was made by somebody else, or by other statements, the projection stops with
// a [*event.DefinitionError]: changed statements need a reset, or a new version
// of the projection and a table of another name.
func Table(name, columns string, then ...string) Part {
	return func(d *declaration) { d.tables = append(d.tables, table{name: name, columns: columns, then: then}) }
}

// table is a table that a projection owns.
type table struct {
	name    string
	columns string
	then    []string
}

// Longer names would be cut by the database.
var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,62}$`)

// declareTables refuses names that need quoting, and tables that are declared
// twice, and lets a reset make each anew.
func (d *declaration) declareTables(projection string, version int) {
	seen := make(map[string]bool)
	for _, t := range d.tables {
		switch {
		case !tableName.MatchString(t.name):
			d.Refuse(fmt.Sprintf("table %q must be named by lower-case letters, digits and underscores, at most 63, and not start with a digit; a schema may stand before it", t.name))
		case seen[t.name]:
			d.Refuse(fmt.Sprintf("table %q is declared twice", t.name))
		}
		seen[t.name] = true
		d.OnReset(func(ctx context.Context, tx *Tx) error { return t.of(projection, version, tx).recreate(ctx) })
	}
}

// definition returns the statements that create the table.
func (t table) definition() []string {
	return append([]string{fmt.Sprintf("CREATE TABLE %s (%s)", t.name, t.columns)}, t.then...)
}

func (t table) text() string { return strings.Join(t.definition(), ";\n") }

// tableOf is a table at work: of a version of a projection, in a transaction.
type tableOf struct {
	table

	projection string
	version    int
	tx         *Tx
}

func (t table) of(projection string, version int, tx *Tx) tableOf {
	return tableOf{table: t, projection: projection, version: version, tx: tx}
}

// found is what stands in the place of a table.
type found struct {
	schema string
	name   string
	exists bool
	owner  *string // the projection that has made it; nil if none has
	by     *int    // its version
	text   *string // the statements that made it
}

// prepare creates the table unless it is there.
func (t tableOf) prepare(ctx context.Context) error {
	f, err := t.look(ctx)
	if err != nil {
		return err
	}
	if !f.exists {
		return t.createAlone(ctx)
	}
	if err := t.checkOwner(f); err != nil {
		return err
	}
	if *f.text != t.text() {
		return t.refuse("exists with another definition: reset the projection, or give it a new version and a new table")
	}
	return nil
}

// createAlone creates the table, unless somebody else does in this moment.
func (t tableOf) createAlone(ctx context.Context) error {
	if _, err := t.tx.inner.Exec(ctx, t.tx.sql("LOCK TABLE evident.projection_tables IN SHARE ROW EXCLUSIVE MODE")); err != nil {
		return t.failure("lock the list of tables for", err)
	}
	f, err := t.look(ctx)
	if err != nil {
		return err
	}
	if f.exists {
		return t.checkOwner(f)
	}
	return t.create(ctx, f)
}

// recreate drops the table, if it is there, and creates it.
func (t tableOf) recreate(ctx context.Context) error {
	f, err := t.look(ctx)
	if err != nil {
		return err
	}
	if f.exists {
		if err := t.checkOwner(f); err != nil {
			return err
		}
		if _, err := t.tx.inner.Exec(ctx, "DROP TABLE "+t.name); err != nil {
			return t.failure("drop", err)
		}
	}
	return t.create(ctx, f)
}

// look finds out what stands in the table's place.
func (t tableOf) look(ctx context.Context) (f found, err error) {
	schema, name, qualified := strings.Cut(t.name, ".")
	if !qualified {
		schema, name = "", t.name
	}
	f.name = name
	err = t.tx.inner.QueryRow(ctx, t.tx.sql(`
		SELECT p.schema, to_regclass(format('%I.%I', p.schema, $2::text)) IS NOT NULL, r.projection, r.version, r.definition
		  FROM (SELECT coalesce(nullif($1::text, ''), current_schema()::text) AS schema) AS p
		  LEFT JOIN evident.projection_tables AS r ON r.table_schema = p.schema AND r.table_name = $2::text
		 WHERE EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = p.schema)`), schema, name).
		Scan(&f.schema, &f.exists, &f.owner, &f.by, &f.text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return f, t.refuse("has no schema: create the schema, or see to search_path")
	case err != nil:
		return f, t.failure("look for", err)
	case f.schema == string(t.tx.store.schema):
		return f, t.refuse("would be in the store's own schema: name another one, or see to search_path")
	default:
		return f, nil
	}
}

// checkOwner refuses a table that is not this projection's.
func (t tableOf) checkOwner(f found) error {
	switch {
	case f.owner == nil:
		return t.refuse("exists, and no projection of this store has made it")
	case *f.owner != t.projection || *f.by != t.version:
		return t.refuse(fmt.Sprintf("belongs to projection %q v%d: each version of a projection has tables of its own", *f.owner, *f.by))
	default:
		return nil
	}
}

func (t tableOf) create(ctx context.Context, f found) error {
	for _, statement := range t.definition() {
		if _, err := t.tx.inner.Exec(ctx, statement); err != nil {
			return t.failure("create", err)
		}
	}
	_, err := t.tx.inner.Exec(ctx, t.tx.sql(`
		INSERT INTO evident.projection_tables (table_schema, table_name, projection, version, definition) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (table_schema, table_name) DO UPDATE
		   SET projection = excluded.projection, version = excluded.version, definition = excluded.definition`),
		f.schema, f.name, t.projection, t.version, t.text())
	return t.failure("write down", err)
}

func (t tableOf) refuse(reason string) error {
	return &event.DefinitionError{Subject: t.projection, Reason: fmt.Sprintf("table %q %s", t.name, reason)}
}

func (t tableOf) failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s table %s: %w", doing, t.name, err)
}
