package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var _ projection.TargetDropper = (*Tx)(nil)

// What projections make, as SQLite calls it.
const (
	kindTable = "table"
	kindView  = "view"
)

// relation is something that a version of a projection makes for itself. It is
// written down beside it whose it is, so that nobody takes what is another's,
// and so that it can be dropped without the projection's code.
type relation struct {
	kind       string
	name       string
	definition string   // the statement that makes it, as SQLite keeps it
	then       []string // what is run when it was made
	of         registry.Name
	tx         *sql.Tx
}

// text returns all statements that make the relation.
func (r relation) text() string {
	return strings.Join(append([]string{r.definition}, r.then...), ";\n")
}

// found is what stands in the place of a relation.
type found struct {
	kind       string // of what is there; "" for nothing
	definition string // the statement that made it
	noted      string // what was written down: its kind, "" if nothing was
	by         registry.Name
	text       string
}

// look finds out what stands in the relation's place.
func (r relation) look(ctx context.Context) (f found, err error) {
	err = r.tx.QueryRowContext(ctx, `
		SELECT coalesce(s.type, ''), coalesce(s.sql, ''), coalesce(n.kind, ''), coalesce(n.projection, ''), coalesce(n.version, 0), coalesce(n.definition, '')
		  FROM (SELECT ? AS name) AS wanted
		  LEFT JOIN sqlite_schema AS s ON s.name = wanted.name COLLATE NOCASE AND s.type IN ('table', 'view', 'index')
		  LEFT JOIN projection_tables AS n ON n.name = wanted.name`, r.name).
		Scan(&f.kind, &f.definition, &f.noted, &f.by.Projection, &f.by.Version, &f.text)
	return f, r.failure("look for", err)
}

// checkOwner refuses what is not the projection's, or of another kind. A table
// that nobody has written down, though it is exactly this one, is from before
// tables were.
func (r relation) checkOwner(f found) error {
	switch {
	case f.kind != r.kind:
		return r.refuse("exists, and is of another kind: " + f.kind)
	case f.noted == "" && f.definition == r.definition && r.kind == kindTable:
		return nil
	case f.noted != r.kind:
		return r.refuse("exists, and no projection has made it: drop it, or choose another name")
	case f.by.Projection != r.of.Projection:
		return r.refuse(fmt.Sprintf("belongs to projection %s", f.by))
	case f.by.Version != r.of.Version && r.kind == kindTable:
		return r.refuse(fmt.Sprintf("belongs to projection %s: each version of a projection has tables of its own", f.by))
	default:
		return nil
	}
}

// drop drops what stands in the relation's place, if it is the projection's.
func (r relation) drop(ctx context.Context, f found) error {
	if f.kind == "" {
		return nil
	}
	if err := r.checkOwner(f); err != nil {
		return err
	}
	_, err := r.tx.ExecContext(ctx, "DROP "+strings.ToUpper(r.kind)+" "+r.name)
	return r.failure("drop", err)
}

// create makes the relation, where nothing stands any more.
func (r relation) create(ctx context.Context) error {
	for _, statement := range append([]string{r.definition}, r.then...) {
		if _, err := r.tx.ExecContext(ctx, statement); err != nil {
			return r.failure("create", err)
		}
	}
	return r.note(ctx)
}

// replace makes the relation anew, whatever version has made it before.
func (r relation) replace(ctx context.Context) error {
	f, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := r.drop(ctx, f); err != nil {
		return err
	}
	return r.create(ctx)
}

// note writes down whose the relation is.
func (r relation) note(ctx context.Context) error {
	_, err := r.tx.ExecContext(ctx, "INSERT OR REPLACE INTO projection_tables (name, kind, projection, version, definition) VALUES (?, ?, ?, ?, ?)",
		r.name, r.kind, r.of.Projection, r.of.Version, r.text())
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
// the projection's code. It does not ask whether somebody needs them. What
// handlers have made by themselves stays. If there is nothing, it does nothing.
func (t *Tx) DropTargets(ctx context.Context, projection string, version int) error {
	of := registry.Name{Projection: projection, Version: version}
	if err := of.Validate(); err != nil {
		return err
	}
	return t.write(ctx, "drop tables", func(q querier) error { return dropTargets(ctx, q, of) })
}

func dropTargets(ctx context.Context, q querier, of registry.Name) error {
	rows, err := q.QueryContext(ctx, `
		SELECT upper(n.kind) || ' ' || s.name FROM projection_tables AS n JOIN sqlite_schema AS s ON s.name = n.name COLLATE NOCASE AND s.type = n.kind
		 WHERE n.projection = ? AND n.version = ? ORDER BY n.kind DESC, n.name`, of.Projection, of.Version)
	relations, err := collect(rows, err, func(row scanner) (name string, err error) {
		err = row.Scan(&name)
		return name, err
	})
	if err != nil {
		return err
	}
	for _, relation := range relations {
		if _, err := q.ExecContext(ctx, "DROP "+relation); err != nil {
			return err
		}
	}
	_, err = q.ExecContext(ctx, "DELETE FROM projection_tables WHERE projection = ? AND version = ?", of.Projection, of.Version)
	return err
}
