package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

const (
	// manyEvents is how many events of a build are applied in one transaction.
	manyEvents = 500
	// fewEvents is how many are applied between two looks at the clock, while
	// appends wait.
	fewEvents = 50
)

// build is an inline projection that is being built, at work in a transaction.
type build struct {
	projection projection.Projection
	tx         *Tx
	position   uint64 // events up to it are in its tables
	finished   bool   // whether it has once caught up, and what is built last is there
}

// build builds a projection until it has caught up. Each step is a transaction.
func (d deployment) build(ctx context.Context, p projection.Projection) error {
	for {
		more, err := d.step(ctx, p)
		switch {
		case isImpatient(err): // somebody is reading a table that is to be emptied
			select {
			case <-time.After(d.config.InlinePause):
			case <-ctx.Done():
				return ctx.Err()
			}
		case err != nil || !more:
			return err
		}
	}
}

// step gives a projection some events, and reports whether there may be more.
func (d deployment) step(ctx context.Context, p projection.Projection) (more bool, err error) {
	head, err := d.Head(ctx) // in another snapshot than what is read up to it
	if err != nil {
		return false, err
	}
	t, err := d.begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = t.Rollback(ctx) }() // after Commit it does nothing
	if wanted, err := d.wants(ctx, t, p); err != nil || !wanted {
		return false, err
	}
	b, err := d.open(ctx, t, p)
	if err != nil {
		return false, err
	}
	if more = b.position < head; more {
		err = b.advance(ctx, head, manyEvents)
	} else if more = !b.finished; more {
		err = b.finish(ctx)
	}
	if err != nil {
		return false, err
	}
	return more, t.Commit(ctx)
}

// wants reports whether a projection is still missing: another deployment may
// have brought it to its end, and then nothing of it must be touched.
func (d deployment) wants(ctx context.Context, t *Tx, p projection.Projection) (bool, error) {
	if err := d.lockBuilds(ctx, t); err != nil {
		return false, err
	}
	have, err := first[string](ctx, t.base, d.sql(selectInline))
	if err != nil {
		return false, err
	}
	missing, err := d.missing(have)
	return slices.ContainsFunc(missing, func(m projection.Projection) bool { return m.Name() == p.Name() }), err
}

// open returns a build. One that is not begun, or whose tables are not what the
// projection declares, is begun anew.
func (d deployment) open(ctx context.Context, t *Tx, p projection.Projection) (*build, error) {
	b := &build{projection: p, tx: t}
	err := t.base.QueryRow(ctx, d.sql(`
		INSERT INTO evident.inline_builds AS b (projection, version, position) VALUES ($1, $2, 0)
		ON CONFLICT (projection, version) DO UPDATE SET updated_at = b.updated_at
		RETURNING position, finished`), p.Name(), p.Version()).Scan(&b.position, &b.finished)
	if err != nil {
		return nil, err
	}
	intact, err := b.intact(ctx)
	if err == nil && !intact {
		err = b.restart(ctx)
	}
	return b, err
}

// intact reports whether something is built, and nobody has changed its tables.
func (b *build) intact(ctx context.Context) (bool, error) {
	if b.position == 0 && !b.finished {
		return false, nil
	}
	own, ok := b.projection.(interface {
		intact(ctx context.Context, t *Tx) (bool, error)
	})
	if !ok {
		return true, nil
	}
	return own.intact(ctx, b.tx)
}

// restart empties the projection.
func (b *build) restart(ctx context.Context) error {
	b.position, b.finished = 0, false
	err := b.tx.impatient(ctx, func() error {
		return projection.Recovered(func() error { return b.projection.Reset(ctx, b.tx) })
	})
	if preparer, ok := b.projection.(projection.Preparer); ok && err == nil {
		err = preparer.Prepare(ctx, b.tx)
	}
	if err != nil {
		return fmt.Errorf("reset inline projection %q: %w", b.projection.Name(), err)
	}
	return b.keep(ctx)
}

// advance gives the projection the next events up to the head, at most so many.
func (b *build) advance(ctx context.Context, head uint64, most int) error {
	events, reached, err := b.next(ctx, head, most)
	if err != nil {
		return err
	}
	if err := b.apply(ctx, events); err != nil {
		return err
	}
	b.position = reached
	return b.keep(ctx)
}

// next reads the next events that the projection wants, and returns up to where
// that are all. Of large ones it reads fewer.
func (b *build) next(ctx context.Context, head uint64, most int) (events []event.Event, reached uint64, err error) {
	bytes := 0
	r := reading{store: b.tx.store, from: b.tx.base, low: signed(b.position), high: signed(head), limit: most}
	for e, err := range r.events(ctx, ofAll(eventstore.Query{Types: b.projection.EventTypes()}), byPosition) {
		if err != nil {
			return nil, 0, err
		}
		events, bytes = append(events, e), bytes+len(e.Data)
		if len(events) == most || bytes >= pageBytes {
			return events, e.Position, nil
		}
	}
	return events, head, nil
}

// apply gives events to the projection, together if it takes them so.
func (b *build) apply(ctx context.Context, events []event.Event) error {
	if batcher, ok := b.projection.(projection.Batcher); ok && batcher.Batches() && len(events) > 0 {
		err := b.sound(func() error { return batcher.ApplyBatch(ctx, b.tx, events) })
		if err != nil {
			return fmt.Errorf("build inline projection %q: events at positions %d to %d: %w", b.projection.Name(), events[0].Position, events[len(events)-1].Position, err)
		}
		return nil
	}
	for _, e := range events {
		if err := b.sound(func() error { return b.projection.Apply(ctx, b.tx, e) }); err != nil {
			return fmt.Errorf("build inline projection %q: event %s (%s) at position %d: %w", b.projection.Name(), e.ID, e.Type, e.Position, err)
		}
	}
	return nil
}

// sound calls f, and finds out whether it has left the transaction fit for more.
func (b *build) sound(f func() error) error {
	err := projection.Recovered(f)
	if err == nil {
		err = b.tx.passedOver()
	}
	return err
}

// finish builds what is built last.
func (b *build) finish(ctx context.Context) error {
	if last, ok := b.projection.(projection.Finisher); ok {
		if err := projection.Recovered(func() error { return last.Finish(ctx, b.tx) }); err != nil {
			return fmt.Errorf("finish inline projection %q: %w", b.projection.Name(), err)
		}
	}
	b.finished = true
	return b.keep(ctx)
}

// keep writes down how far the build is.
func (b *build) keep(ctx context.Context) error {
	_, err := b.tx.base.Exec(ctx, b.tx.sql(`
		UPDATE evident.inline_builds SET position = $3, finished = $4, updated_at = clock_timestamp() WHERE projection = $1 AND version = $2`),
		b.projection.Name(), b.projection.Version(), signed(b.position), b.finished)
	return err
}
