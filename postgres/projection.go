package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

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

// Projection is a projection into tables of the store's own database. Each
// event takes effect exactly once: what handlers write and the checkpoint are
// committed together. It is made by [NewProjection].
type Projection struct {
	*projection.Declared[*Tx]

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
// it or leave rows open: the projection stops with a [*event.DefinitionError].
// A handler that passes over the error of a statement has failed all the same,
// since PostgreSQL then undoes the transaction; a savepoint, by pgx.Tx.Begin,
// lets it go on.
//
// A handler that appends, a reaction, does so through [Store.Within] and its tx:
// what it appends and the checkpoint are committed together, so each event is
// reacted to exactly once. Such a projection has neither Table nor OnReset:
// without them nobody can reset it, and a replay would do everything again. A
// handler must not append to the store itself, or wait for a projection: the
// append may wait for the handler's transaction, which waits for it.
func NewProjection(name string, version int, parts ...Part) *Projection {
	d := &declaration{Declaration: projection.Declare[*Tx](name, version), name: registry.Name{Projection: name, Version: version}}
	for _, part := range parts {
		if part == nil {
			d.Refuse("a part is nil")
			continue
		}
		part(d)
	}
	d.declareRelations()
	indexes := d.declareIndexes()
	for _, reset := range d.resets {
		d.OnReset(reset)
	}
	target := func(ctx context.Context, tx projection.Tx) (*Tx, error) { return own(ctx, name, tx) }
	return &Projection{Declared: d.Build(target), tables: d.tables, fronts: d.fronts, indexes: indexes}
}

// declaration collects what parts say.
type declaration struct {
	*projection.Declaration[*Tx]

	name    registry.Name
	tables  []table
	fronts  []front
	indexes []string                                  // their statements
	resets  []func(ctx context.Context, tx *Tx) error // to run when the tables are empty
}

// lending gives a handler the form that a declaration wants: of a transaction
// it sees what is the database's.
func lending[E any](f func(context.Context, pgx.Tx, E) error) func(context.Context, *Tx, E) error {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, tx *Tx, e E) error { return f(ctx, tx.PGX(), e) }
}

// Part is one thing that a projection declares.
type Part func(*declaration)

// On handles the events of one payload type. What f writes through tx takes
// effect with the checkpoint or, in an inline projection, with the append. It
// appends events through [Store.Within] and tx, if at all; see [NewProjection].
func On[P event.Payload](f func(ctx context.Context, tx pgx.Tx, e event.Of[P]) error) Part {
	return func(d *declaration) { projection.Handle(d.Declaration, lending(f)) }
}

// OnEvery handles the events of the given types, or every event if none is
// given, with the payload as bytes. Older names of a type are not looked for.
// It runs before the handler of the event's type.
func OnEvery(f func(ctx context.Context, tx pgx.Tx, e event.Event) error, types ...string) Part {
	return func(d *declaration) { d.OnEvery(lending(f), types...) }
}

// OnBatch handles whole batches of events, where writing many rows at once, by
// pgx.Tx.CopyFrom or SendBatch, is much cheaper than one by one: those of the
// given types, or every event if none is given. What it is given, and what
// happens when it fails, says [projection.Batcher]. A projection with OnBatch
// has no other handler.
func OnBatch(f func(ctx context.Context, tx pgx.Tx, events []event.Event) error, types ...string) Part {
	return func(d *declaration) { d.OnBatch(lending(f), types...) }
}

// OnReset runs when the projection is reset, after its tables were emptied:
// for what it has written elsewhere in the database.
func OnReset(f func(ctx context.Context, tx pgx.Tx) error) Part {
	return func(d *declaration) {
		if f == nil {
			d.Refuse("function given to OnReset is nil")
			return
		}
		d.resets = append(d.resets, func(ctx context.Context, tx *Tx) error { return f(ctx, tx.PGX()) })
	}
}

// OnRewind undoes what handlers have made of the events above a position, in the
// transaction that also puts the checkpoint back: without it the projection can
// be rebuilt, but not rewound. See [projection.Rewinder].
func OnRewind(f func(ctx context.Context, tx pgx.Tx, position uint64) error) Part {
	return func(d *declaration) { d.OnRewind(lending(f)) }
}

// InLanes divides the projection into so many lanes to begin with, from 1 to
// [projection.Slots]: events of different streams are then applied at once, also
// by several processes, those of one stream in order. Handlers of different
// lanes that write the same rows wait for each other. For an inline projection
// it has no meaning.
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

// own returns the transaction of this package that a transaction is, decorated
// or not, and refuses any other.
func own(ctx context.Context, name string, tx projection.Tx) (*Tx, error) {
	t, ok := projection.TxAs[*Tx](tx)
	if !ok {
		return nil, &event.DefinitionError{Subject: name, Reason: fmt.Sprintf("a projection of package postgres needs a transaction of a postgres.Store, not a %T: run it with that store as its progress", tx)}
	}
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// Apply implements [projection.Projection].
func (p *Projection) Apply(ctx context.Context, tx projection.Tx, e event.Event) error {
	return p.sound(tx, p.Declared.Apply(ctx, tx, e))
}

// ApplyBatch implements [projection.Batcher].
func (p *Projection) ApplyBatch(ctx context.Context, tx projection.Tx, events []event.Event) error {
	return p.sound(tx, p.Declared.ApplyBatch(ctx, tx, events))
}

// sound finds out, without asking the database, whether handlers have left the
// transaction fit for what comes next. What they have returned is err.
func (p *Projection) sound(tx projection.Tx, err error) error {
	t, ok := projection.TxAs[*Tx](tx)
	if !ok {
		return err
	}
	if conn := t.base.Conn().PgConn(); conn.IsBusy() && !conn.IsClosed() {
		return errors.Join(projection.Unfit(&event.DefinitionError{Subject: p.Name(), Reason: "a handler has left rows open"}), err)
	}
	switch unfit := t.passedOver(); {
	case errors.Is(unfit, ErrTxEnded):
		return errors.Join(projection.Unfit(&event.DefinitionError{Subject: p.Name(), Reason: "a handler has ended the transaction"}), unfit, err)
	case err != nil:
		return err
	default:
		return unfit
	}
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

// intact reports whether all tables are there as they are declared.
func (p *Projection) intact(ctx context.Context, t *Tx) (bool, error) {
	for _, table := range p.tables {
		r := table.relation(p.registered(), t)
		f, err := r.look(ctx)
		if err != nil {
			return false, err
		}
		if f.kind != kindTable || f.noted != kindTable || f.by != r.of || f.text != r.text() {
			return false, nil
		}
	}
	return true, nil
}
