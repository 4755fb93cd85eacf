package postgres

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var _ projection.Fronted = (*Projection)(nil)

// View declares a view through which readers see the projection, whatever its
// version is: its name, and the query that shows this version's tables. Each
// version has tables of its own, and all have the view. What follows are
// statements that are run when it was made and each time it is put before
// another version, such as GRANT:
//
//	postgres.Table("titles_v2", "id uuid PRIMARY KEY, title text NOT NULL, words int NOT NULL"),
//	postgres.View("titles", "SELECT id, title, words FROM titles_v2", "GRANT SELECT ON titles TO reporting")
//
// The view is put before a version's tables when that version becomes the live
// one, in the same transaction, and so another version's is taken away: a reader
// sees the one or the other, and waits in between, for moments. Who has a long
// query on the view running keeps the others waiting, so the switch gives up
// after some seconds and is tried again.
//
// If the new version shows the same columns, or more behind them, it is the same
// view with other insides: prepared statements go on, and rights that were
// granted on it stay. A reader who has prepared SELECT * is told once that its
// result has changed ("cached plan must not change result type"), if it has; pgx
// prepares it anew then. If columns are gone or have another type, the view is
// dropped and made in one step: what names columns that are still there goes on,
// but rights that others have granted are lost, and the switch fails if they
// have built views of theirs on it.
//
// A view that a live version is given later comes with the next version. The name
// is found as that of a [Table]. The view belongs to this projection alone, all
// its versions together. If something else has its name, a table too, the
// projection stops with a [*event.DefinitionError].
func View(name, query string, then ...string) Part {
	return func(d *declaration) { d.fronts = append(d.fronts, front{name: name, query: query, then: then}) }
}

// front is a view that a projection is read through.
type front struct {
	name  string
	query string
	then  []string
}

// relation returns the view at work: of a version of a projection, in a
// transaction.
func (v front) relation(of registry.Name, tx *Tx) relation {
	return relation{kind: kindView, name: v.name, definition: fmt.Sprintf("CREATE OR REPLACE VIEW %s AS %s", v.name, v.query), then: v.then, of: of, tx: tx}
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
	_, err = r.tx.inner.Exec(ctx, "EXPLAIN "+v.query)
	return r.failure("explain", err)
}

// put makes a view, or puts it before this version.
func (r relation) put(ctx context.Context) error {
	f, err := r.look(ctx)
	if err != nil {
		return err
	}
	if f.kind == "" {
		return r.create(ctx, f)
	}
	if err := r.checkOwner(f); err != nil {
		return err
	}
	err = r.tx.Savepoint(ctx, func(ctx context.Context) error { return r.create(ctx, f) })
	if code, _ := codeOf(err); code != codeOtherColumns {
		return err
	}
	if err := r.drop(ctx, f); err != nil {
		return err
	}
	return r.create(ctx, f)
}

// shows reports whether a view is there and shows this version.
func (r relation) shows(ctx context.Context) (bool, error) {
	f, err := r.look(ctx)
	return f.kind == kindView && f.noted == kindView && f.by == r.of, err
}

// detach empties a view that shows this version, so that its tables can be
// dropped. It stays the same view with the same columns and rights.
func (r relation) detach(ctx context.Context) error {
	shows, err := r.shows(ctx)
	if err != nil || !shows {
		return err
	}
	var empty string
	err = r.tx.inner.QueryRow(ctx, `
		SELECT string_agg(format('NULL::%s%s AS %I', format_type(atttypid, atttypmod),
		                         CASE WHEN attcollation <> 0 THEN ' COLLATE ' || attcollation::regcollation END, attname), ', ' ORDER BY attnum)
		  FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0`, r.name).Scan(&empty)
	if err == nil {
		_, err = r.tx.inner.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE VIEW %s AS SELECT %s WHERE false", r.name, empty))
	}
	return r.failure("empty", err)
}

// refresh puts a view that shows this version before it again.
func (r relation) refresh(ctx context.Context) error {
	shows, err := r.shows(ctx)
	if err != nil || !shows {
		return err
	}
	return r.put(ctx)
}

// GoLive implements [projection.Fronted]: it puts the views before this
// version's tables, which it creates if they are not there.
func (p *Projection) GoLive(ctx context.Context, tx projection.Tx) error {
	if err := p.Prepare(ctx, tx); err != nil {
		return err
	}
	t, err := own(ctx, p.Name(), tx)
	if err != nil || len(p.fronts) == 0 {
		return err
	}
	return t.failure("go live", t.impatient(ctx, func() error {
		for _, v := range p.fronts {
			r := v.relation(p.registered(), t)
			if err := r.alone(ctx); err != nil {
				return err
			}
			if err := r.put(ctx); err != nil {
				return err
			}
		}
		return nil
	}))
}

// longestSwitch bounds how long a switch waits for those who are reading. So
// long others wait behind it.
const longestSwitch = "3s"

// impatient calls f with a bound on how long its statements wait for locks,
// unless there is one already.
func (t *Tx) impatient(ctx context.Context, f func() error) error {
	bound, err := first[string](ctx, t.inner, "SELECT current_setting('lock_timeout')")
	if err != nil {
		return err
	}
	if bound != "0" {
		return f()
	}
	if err := t.boundLocks(ctx, longestSwitch); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return t.boundLocks(ctx, bound)
}

func (t *Tx) boundLocks(ctx context.Context, bound string) error {
	_, err := t.inner.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", bound)
	return err
}
