package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

var (
	_ projection.Projection   = (*Projection)(nil)
	_ projection.Batcher      = (*Projection)(nil)
	_ projection.Preparer     = (*Projection)(nil)
	_ projection.Validator    = (*Projection)(nil)
	_ projection.ResetChecker = (*Projection)(nil)
	_ projection.Sequencer    = (*Projection)(nil)
)

// Projection is a projection into tables of the store's own file. Each event
// takes effect exactly once: what handlers write and the checkpoint are
// committed together. It is made by [NewProjection].
type Projection struct {
	*projection.Declared[*sql.Tx]

	tables []table
}

// NewProjection returns a projection that is put together from parts: [On],
// [OnEvery] or [OnBatch], [Table], [OnReset], [SequenceBy] and [Codec]. Name
// and version name its checkpoint; a new version starts from the first event.
//
// It runs on a [Store] of this package only; on any other it stops with a
// [*event.DefinitionError]. Parts that contradict each other are a
// [*event.DefinitionError], too, which Validate returns and a runner refuses.
//
// Handlers must write through the transaction they are given, and must not end
// it, append to the store or wait for a projection: all of that waits for the
// transaction to end. What they read of the file outside of it is what was
// committed before.
func NewProjection(name string, version int, parts ...Part) *Projection {
	d := &declaration{Declaration: projection.Declare[*sql.Tx](name, version)}
	for _, part := range parts {
		if part == nil {
			d.Refuse("a part is nil")
			continue
		}
		part(d)
	}
	d.declareTables()
	for _, reset := range d.resets {
		d.OnReset(reset)
	}
	target := func(ctx context.Context, tx projection.Tx) (*sql.Tx, error) { return own(ctx, name, tx) }
	return &Projection{Declared: d.Build(target), tables: d.tables}
}

// declaration collects what parts say.
type declaration struct {
	*projection.Declaration[*sql.Tx]

	tables []table
	resets []func(ctx context.Context, tx *sql.Tx) error // to run when the tables are empty
}

// Part is one thing that a projection declares.
type Part func(*declaration)

// On handles the events of one payload type.
func On[P event.Payload](f func(ctx context.Context, tx *sql.Tx, e event.Of[P]) error) Part {
	return func(d *declaration) { projection.Handle(d.Declaration, f) }
}

// OnEvery handles the events of the given types, or every event if none is
// given, with the payload as bytes. Older names of a type are not looked for.
// It runs before the handler of the event's type.
func OnEvery(f func(ctx context.Context, tx *sql.Tx, e event.Event) error, types ...string) Part {
	return func(d *declaration) { d.OnEvery(f, types...) }
}

// OnBatch handles whole batches of events, where writing many rows at once is
// much cheaper than one by one: those of the given types, or every event if
// none is given. What it is given, and what happens when it fails, says
// [projection.Batcher]. A projection with OnBatch has no other handler.
func OnBatch(f func(ctx context.Context, tx *sql.Tx, events []event.Event) error, types ...string) Part {
	return func(d *declaration) { d.OnBatch(f, types...) }
}

// OnReset runs when the projection is reset, after its tables were emptied:
// for what it has written elsewhere in the file.
func OnReset(f func(ctx context.Context, tx *sql.Tx) error) Part {
	return func(d *declaration) { d.resets = append(d.resets, f) }
}

// SequenceBy sets the key by which events park behind one that failed. The
// default, also for nil, is the event's stream.
func SequenceBy(key func(e event.Event) string) Part {
	return func(d *declaration) { d.SequenceBy(key) }
}

// Codec sets what payloads are decoded with; the default, also for nil, is
// [event.JSON].
func Codec(codec event.Codec) Part {
	return func(d *declaration) { d.Codec(codec) }
}

// own returns the SQL transaction of a transaction of this package, decorated
// or not, and refuses any other.
func own(ctx context.Context, name string, tx projection.Tx) (*sql.Tx, error) {
	t, ok := projection.TxAs[*Tx](tx)
	if !ok {
		return nil, &event.DefinitionError{Subject: name, Reason: fmt.Sprintf("a projection of package sqlite needs a transaction of a sqlite.Store, not a %T: run it with that store as its progress", tx)}
	}
	return t.sql, t.usable(ctx)
}

// Prepare implements [projection.Preparer]: it creates the tables that are not
// there.
func (p *Projection) Prepare(ctx context.Context, tx projection.Tx) error {
	if err := p.Validate(); err != nil {
		return err
	}
	t, err := own(ctx, p.Name(), tx)
	if err != nil {
		return err
	}
	for _, table := range p.tables {
		if err := table.prepare(ctx, t, p.Name()); err != nil {
			return err
		}
	}
	return nil
}
