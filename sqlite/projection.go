package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var (
	_ projection.Projection   = (*Projection)(nil)
	_ projection.Batcher      = (*Projection)(nil)
	_ projection.Preparer     = (*Projection)(nil)
	_ projection.Validator    = (*Projection)(nil)
	_ projection.ResetChecker = (*Projection)(nil)
	_ projection.Sequencer    = (*Projection)(nil)
	_ projection.Laned        = (*Projection)(nil)
	_ projection.Rewinder     = (*Projection)(nil)
)

// Projection is a projection into tables of the store's own file. Each event
// takes effect exactly once: what handlers write and the checkpoint are
// committed together. It is made by [NewProjection].
type Projection struct {
	*projection.Declared[*sql.Tx]

	tables  []table
	fronts  []front
	indexes []index
}

// NewProjection returns a projection that is put together from parts: [On],
// [OnEvery] or [OnBatch], [Table], [View], [Index], [OnReset], [OnRewind],
// [InLanes], [SequenceBy] and [Codec]. Name and version name its checkpoint; a
// new version starts from the first event.
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
	d := &declaration{Declaration: projection.Declare[*sql.Tx](name, version), name: registry.Name{Projection: name, Version: version}}
	for _, part := range parts {
		if part == nil {
			d.Refuse("a part is nil")
			continue
		}
		part(d)
	}
	d.declareViews(d.declareTables())
	indexes := d.declareIndexes()
	for _, reset := range d.resets {
		d.OnReset(reset)
	}
	target := func(ctx context.Context, tx projection.Tx) (*sql.Tx, error) { return own(ctx, name, tx) }
	return &Projection{Declared: d.Build(target), tables: d.tables, fronts: d.fronts, indexes: indexes}
}

// declaration collects what parts say.
type declaration struct {
	*projection.Declaration[*sql.Tx]

	name    registry.Name
	tables  []table
	fronts  []front
	indexes []string                                      // their statements
	resets  []func(ctx context.Context, tx *sql.Tx) error // to run when the tables are empty
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

// OnRewind undoes what handlers have made of the events above a position, in the
// transaction that also puts the checkpoint back: without it the projection can
// be rebuilt, but not rewound. See [projection.Rewinder].
func OnRewind(f func(ctx context.Context, tx *sql.Tx, position uint64) error) Part {
	return func(d *declaration) { d.OnRewind(f) }
}

// InLanes divides the projection into so many lanes to begin with, from 1 to
// [projection.Slots]. SQLite lets one transaction write at a time, so lanes help
// only handlers that wait for something else.
func InLanes(lanes int) Part {
	return func(d *declaration) { d.InLanes(lanes) }
}

// SequenceBy sets the key by which events park behind one that failed, and by
// which they are divided among lanes. The default, also for nil, is the event's
// stream.
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

// registered returns the projection's name as it is written down.
func (p *Projection) registered() registry.Name {
	return registry.Name{Projection: p.Name(), Version: p.Version()}
}

// Prepare implements [projection.Preparer]: it creates the tables that are not
// there, and finds out whether the views could be.
func (p *Projection) Prepare(ctx context.Context, tx projection.Tx) error {
	if err := p.Validate(); err != nil {
		return err
	}
	t, err := own(ctx, p.Name(), tx)
	if err != nil {
		return err
	}
	for _, table := range p.tables {
		if err := table.relation(p.registered(), t).prepare(ctx); err != nil {
			return err
		}
	}
	for _, front := range p.fronts {
		if err := front.check(ctx, front.relation(p.registered(), t)); err != nil {
			return err
		}
	}
	return nil
}
