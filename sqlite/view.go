package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var _ projection.Fronted = (*Projection)(nil)

// View declares a view through which readers see the projection, whatever its
// version is: its name, and the query that shows this version's tables. Each
// version has tables of its own, and all have the view:
//
//	sqlite.Table("titles_v2", "id BLOB PRIMARY KEY, title TEXT NOT NULL, words INTEGER NOT NULL"),
//	sqlite.View("titles", "SELECT id, title, words FROM titles_v2")
//
// The view is put before a version's tables when that version becomes the live
// one, in the same transaction, and so another version's is taken away: a reader
// sees the one or the other, and never that there is none. What is prepared on
// other connections is prepared anew by SQLite itself. A view that a live version
// is given later comes with its next reset, if it is there already, or with the next version.
//
// The view belongs to this projection alone, all its versions together. If
// something else has its name, a table too, the projection stops with a
// [*event.DefinitionError].
func View(name, query string) Part {
	return func(d *declaration) { d.fronts = append(d.fronts, front{name: name, query: query}) }
}

// front is a view that a projection is read through.
type front struct {
	name  string
	query string
}

// declareViews refuses names as declareTables does, and lets a reset put anew
// those that show this version.
func (d *declaration) declareViews(seen map[string]bool) {
	for _, v := range d.fronts {
		d.declareName(kindView, v.name, seen)
		if strings.TrimSpace(v.query) == "" {
			d.Refuse(fmt.Sprintf("view %q has no query", v.name))
		}
		d.OnReset(func(ctx context.Context, tx *sql.Tx) error { return v.relation(d.name, tx).refresh(ctx) })
	}
}

// relation returns the view at work: of a version of a projection, in a transaction.
func (v front) relation(of registry.Name, tx *sql.Tx) relation {
	return relation{kind: kindView, name: v.name, definition: fmt.Sprintf("CREATE VIEW %s AS %s", v.name, v.query), of: of, tx: tx}
}

// refresh makes a view anew if it shows this version.
func (r relation) refresh(ctx context.Context) error {
	f, err := r.look(ctx)
	if err != nil || f.kind == "" || f.by != r.of {
		return err
	}
	return r.replace(ctx)
}

// check finds out, before anything is built, whether the view can be made when
// it is wanted.
func (v front) check(ctx context.Context, r relation) error {
	f, err := r.look(ctx)
	if err != nil {
		return err
	}
	if f.kind != "" {
		if err := r.checkOwner(f); err != nil {
			return err
		}
	}
	_, err = r.tx.ExecContext(ctx, "EXPLAIN "+v.query)
	return r.failure("explain", err)
}

// GoLive implements [projection.Fronted]: it puts the views before this
// version's tables, which it creates if they are not there.
func (p *Projection) GoLive(ctx context.Context, tx projection.Tx) error {
	if err := p.Prepare(ctx, tx); err != nil {
		return err
	}
	t, err := own(ctx, p.Name(), tx)
	if err != nil {
		return err
	}
	for _, v := range p.fronts {
		if err := v.relation(p.registered(), t).replace(ctx); err != nil {
			return err
		}
	}
	return nil
}
