package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var _ projection.TargetDropper = (*Tx)(nil)

// What projections make.
const (
	kindTable = "table"
	kindView  = "view"
)

// relation is something that a version of a projection makes for itself, at
// work in a transaction. It is written down whose it is, so that nobody takes
// what is another's, and so that it can be dropped without the projection's code.
type relation struct {
	kind       string
	name       string
	definition string   // the statement that makes it
	then       []string // what is run when it was made
	of         registry.Name
	tx         *Tx
}

// text returns all statements that make the relation.
func (r relation) text() string {
	return strings.Join(append([]string{r.definition}, r.then...), ";\n")
}

// found is what stands in the place of a relation.
type found struct {
	schema string
	name   string
	kind   string        // of what is there; "" for nothing
	noted  string        // what was written down: its kind, "" if nothing was
	by     registry.Name // who has made it
	text   string        // the statements that made it
}

// look finds out what stands in the relation's place.
func (r relation) look(ctx context.Context) (f found, err error) {
	schema, name, qualified := strings.Cut(r.name, ".")
	if !qualified {
		schema, name = "", r.name
	}
	f.name = name
	err = r.tx.inner.QueryRow(ctx, r.tx.sql(`
		SELECT p.schema, coalesce(CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' ELSE 'relation of kind ' || c.relkind::text END, ''),
		       coalesce(n.kind, ''), coalesce(n.projection, ''), coalesce(n.version, 0), coalesce(n.definition, '')
		  FROM (SELECT coalesce(nullif($1::text, ''), current_schema()::text) AS schema) AS p
		  LEFT JOIN pg_class AS c ON c.oid = to_regclass(format('%I.%I', p.schema, $2::text))
		  LEFT JOIN evident.projection_tables AS n ON n.table_schema = p.schema AND n.table_name = $2::text
		 WHERE EXISTS (SELECT FROM pg_namespace AS s WHERE s.nspname = p.schema)`), schema, name).
		Scan(&f.schema, &f.kind, &f.noted, &f.by.Projection, &f.by.Version, &f.text)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return f, r.refuse("has no schema: create the schema, or see to search_path")
	case err != nil:
		return f, r.failure("look for", err)
	case f.schema == string(r.tx.store.schema):
		return f, r.refuse("would be in the store's own schema: name another one, or see to search_path")
	default:
		return f, nil
	}
}

// checkOwner refuses what is not the projection's, or of another kind.
func (r relation) checkOwner(f found) error {
	switch {
	case f.kind != r.kind:
		return r.refuse("exists, and is of another kind: " + f.kind)
	case f.noted != r.kind:
		return r.refuse("exists, and no projection of this store has made it: drop it, or choose another name")
	case f.by.Projection != r.of.Projection:
		return r.refuse(fmt.Sprintf("belongs to projection %q v%d", f.by.Projection, f.by.Version))
	case f.by.Version != r.of.Version && r.kind == kindTable:
		return r.refuse(fmt.Sprintf("belongs to projection %q v%d: each version of a projection has tables of its own", f.by.Projection, f.by.Version))
	default:
		return nil
	}
}

// alone keeps others from making or dropping anything until the transaction ends.
func (r relation) alone(ctx context.Context) error {
	_, err := r.tx.inner.Exec(ctx, r.tx.sql("LOCK TABLE evident.projection_tables IN SHARE ROW EXCLUSIVE MODE"))
	return r.failure("lock the list of tables for", err)
}

// drop drops what stands in the relation's place, if it is the projection's.
func (r relation) drop(ctx context.Context, f found) error {
	if f.kind == "" {
		return nil
	}
	if err := r.checkOwner(f); err != nil {
		return err
	}
	_, err := r.tx.inner.Exec(ctx, "DROP "+strings.ToUpper(r.kind)+" "+r.name)
	return r.failure("drop", err)
}

// create makes the relation, where nothing stands any more.
func (r relation) create(ctx context.Context, f found) error {
	for _, statement := range append([]string{r.definition}, r.then...) {
		if _, err := r.tx.inner.Exec(ctx, statement); err != nil {
			return r.failure("create", err)
		}
	}
	return r.note(ctx, f)
}

// note writes down whose the relation is.
func (r relation) note(ctx context.Context, f found) error {
	_, err := r.tx.inner.Exec(ctx, r.tx.sql(`
		INSERT INTO evident.projection_tables (table_schema, table_name, kind, projection, version, definition) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (table_schema, table_name) DO UPDATE
		   SET kind = excluded.kind, projection = excluded.projection, version = excluded.version, definition = excluded.definition`),
		f.schema, f.name, r.kind, r.of.Projection, r.of.Version, r.text())
	return r.failure("write down", err)
}

func (r relation) refuse(reason string) error {
	return &event.DefinitionError{Subject: r.of.Projection, Reason: fmt.Sprintf("%s %q %s", r.kind, r.name, reason)}
}

func (r relation) failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s %s: %w", doing, r.kind, r.name, err)
}

// DropTargets implements [projection.TargetDropper]: it drops the tables that a
// version of a projection has made, and the views that still show them, without
// the projection's code; an inline projection that was not built to its end is
// given up. It does not ask whether somebody needs them: of an inline
// projection, see first that it is not deployed any more. What handlers have
// made by themselves stays. If there is nothing, it does nothing. What others
// have built upon the tables, such as views, is an error of the database.
func (t *Tx) DropTargets(ctx context.Context, projection string, version int) error {
	of := registry.Name{Projection: projection, Version: version}
	if err := of.Validate(); err != nil {
		return err
	}
	if err := t.usable(ctx); err != nil {
		return err
	}
	return t.failure("drop tables", t.dropTargets(ctx, of))
}

func (t *Tx) dropTargets(ctx context.Context, of registry.Name) error {
	for _, kind := range []string{kindView, kindTable} {
		rows, err := t.inner.Query(ctx, t.sql(`
			SELECT format('%I.%I', n.table_schema, n.table_name) FROM evident.projection_tables AS n
			  JOIN pg_class AS c ON c.oid = to_regclass(format('%I.%I', n.table_schema, n.table_name))
			   AND CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' END = n.kind
			 WHERE n.projection = $1 AND n.version = $2 AND n.kind = $3 ORDER BY 1`), of.Projection, of.Version, kind)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if len(names) == 0 {
			continue
		}
		// Together: they may refer to each other.
		if _, err := t.inner.Exec(ctx, "DROP "+strings.ToUpper(kind)+" "+strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	for _, list := range []string{"evident.projection_tables", "evident.inline_builds"} {
		if _, err := t.inner.Exec(ctx, t.sql("DELETE FROM "+list+" WHERE projection = $1 AND version = $2"), of.Projection, of.Version); err != nil {
			return err
		}
	}
	return nil
}

// declareName refuses names that need quoting, and those that are declared twice.
func (d *declaration) declareName(kind, name string, seen []string) []string {
	switch {
	case !relationName.MatchString(name):
		d.Refuse(fmt.Sprintf("%s %q must be named by lower-case letters, digits and underscores, at most 63, and not start with a digit; a schema may stand before it", kind, name))
	case slices.Contains(seen, name):
		d.Refuse(fmt.Sprintf("%s %q is declared twice", kind, name))
	}
	return append(seen, name)
}
