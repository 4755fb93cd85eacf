package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/evident-go/evident/registry"
)

// Table declares a table of the projection: its name, and what stands between
// the parentheses of CREATE TABLE. The runner creates it before the first event,
// and [DeployInline] that of an inline projection: no [Migrate] and no
// deployment of yours does. Until then it does not exist. A reset drops it and
// creates it anew. What follows are statements that
// are run when it was created, for example CREATE INDEX, about things that go
// when the table is dropped: indexes, triggers and rights, not views. An index
// that only readers need is better declared by [Index].
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
// of the projection and a table of another name, which a [View] can hide from
// readers.
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
var relationName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,62}$`)

// declareRelations refuses names that need quoting, and those that are declared
// twice. A reset makes tables anew, and views that show this version are out of
// their way meanwhile.
func (d *declaration) declareRelations() {
	var seen []string
	for _, v := range d.fronts {
		seen = d.declareName(kindView, v.name, seen)
		if strings.TrimSpace(v.query) == "" {
			d.Refuse(fmt.Sprintf("view %q has no query", v.name))
		}
		d.OnReset(func(ctx context.Context, tx *Tx) error { return v.relation(d.name, tx).detach(ctx) })
	}
	for _, t := range d.tables {
		seen = d.declareName(kindTable, t.name, seen)
		d.OnReset(func(ctx context.Context, tx *Tx) error { return t.relation(d.name, tx).recreate(ctx) })
	}
	for _, v := range d.fronts {
		d.OnReset(func(ctx context.Context, tx *Tx) error { return v.relation(d.name, tx).refresh(ctx) })
	}
}

// relation returns the table at work: of a version of a projection, in a
// transaction.
func (t table) relation(of registry.Name, tx *Tx) relation {
	return relation{kind: kindTable, name: t.name, definition: fmt.Sprintf("CREATE TABLE %s (%s)", t.name, t.columns), then: t.then, of: of, tx: tx}
}

// prepare creates a table unless it is there.
func (r relation) prepare(ctx context.Context) error {
	f, err := r.look(ctx)
	if err != nil {
		return err
	}
	if f.kind == "" {
		return r.createAlone(ctx)
	}
	if err := r.checkOwner(f); err != nil {
		return err
	}
	if f.text != r.text() {
		return r.refuse("exists with another definition: reset the projection, or give it a new version and a new table")
	}
	return nil
}

// createAlone creates a table, unless somebody else does in this moment.
func (r relation) createAlone(ctx context.Context) error {
	if err := r.alone(ctx); err != nil {
		return err
	}
	f, err := r.look(ctx)
	if err != nil {
		return err
	}
	if f.kind != "" {
		return r.checkOwner(f)
	}
	return r.create(ctx, f)
}

// recreate drops a table, if it is there, and creates it.
func (r relation) recreate(ctx context.Context) error {
	f, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := r.drop(ctx, f); err != nil {
		return err
	}
	return r.create(ctx, f)
}
