package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

var (
	_ projection.Projection   = (*Projection)(nil)
	_ projection.Preparer     = (*Projection)(nil)
	_ projection.Validator    = (*Projection)(nil)
	_ projection.ResetChecker = (*Projection)(nil)
	_ projection.Sequencer    = (*Projection)(nil)
)

// Projection is a projection into tables of the store's own file. Each event
// takes effect exactly once: what handlers write and the checkpoint are
// committed together. It is made by [NewProjection].
type Projection struct {
	name     string
	version  int
	codec    event.Codec
	typed    []event.Handler[handling]
	plain    []plainHandler
	tables   []table
	reset    func(ctx context.Context, tx *sql.Tx) error
	sequence func(e event.Event) string
	handlers *event.Handlers[handling]
	err      error
}

// handling is what a typed handler is given besides the event.
type handling struct {
	ctx context.Context //nolint:containedctx // an argument on its way through event.Handlers, not kept.
	tx  *sql.Tx
}

// plainHandler handles events whose payload stays as it is.
type plainHandler struct {
	types []string // none for all
	f     func(ctx context.Context, tx *sql.Tx, e event.Event) error
}

// NewProjection returns a projection that is put together from parts: [On],
// [OnEvent], [Table], [OnReset], [SequenceBy] and [Codec]. Name and version
// name its checkpoint; a new version starts from the first event.
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
	p := &Projection{name: name, version: version}
	for _, part := range parts {
		if part == nil {
			p.err = &event.DefinitionError{Subject: name, Reason: "a part is nil"}
			return p
		}
		part(p)
	}
	p.handlers, p.err = event.NewHandlers(p.codec, p.typed...)
	if p.err == nil {
		p.err = p.check()
	}
	return p
}

// Part is one thing that a projection declares.
type Part func(*Projection)

// On handles the events of one payload type.
func On[P event.Payload](f func(ctx context.Context, tx *sql.Tx, e event.Of[P]) error) Part {
	var handle func(handling, event.Of[P]) error
	if f != nil {
		handle = func(h handling, e event.Of[P]) error { return f(h.ctx, h.tx, e) }
	}
	return func(p *Projection) { p.typed = append(p.typed, event.Handle(handle)) }
}

// OnEvent handles the events of the given types, or every event if none is
// given, with the payload as bytes. Older names of a type are not looked for.
// It runs before a typed handler.
func OnEvent(f func(ctx context.Context, tx *sql.Tx, e event.Event) error, types ...string) Part {
	return func(p *Projection) { p.plain = append(p.plain, plainHandler{types: types, f: f}) }
}

// OnReset runs when the projection is reset, after its tables were emptied:
// for what it has written elsewhere in the file.
func OnReset(f func(ctx context.Context, tx *sql.Tx) error) Part {
	return func(p *Projection) { p.reset = f }
}

// SequenceBy sets the key by which events park behind one that failed. The
// default is the event's stream.
func SequenceBy(key func(e event.Event) string) Part {
	return func(p *Projection) { p.sequence = key }
}

// Codec sets what payloads are decoded with; the default is [event.JSON].
func Codec(codec event.Codec) Part { return func(p *Projection) { p.codec = codec } }

func (p *Projection) check() error {
	if len(p.typed) == 0 && len(p.plain) == 0 {
		return &event.DefinitionError{Subject: p.name, Reason: "projection has no handler"}
	}
	for _, h := range p.plain {
		if h.f == nil {
			return &event.DefinitionError{Subject: p.name, Reason: "function given to sqlite.OnEvent is nil"}
		}
	}
	return checkTables(p.name, p.tables)
}

// Name implements [projection.Projection].
func (p *Projection) Name() string { return p.name }

// Version implements [projection.Projection].
func (p *Projection) Version() int { return p.version }

// Guarantee implements [projection.Projection]: [projection.ExactlyOnce].
func (p *Projection) Guarantee() projection.Guarantee { return projection.ExactlyOnce }

// Validate implements [projection.Validator].
func (p *Projection) Validate() error { return p.err }

// EventTypes implements [projection.Projection].
func (p *Projection) EventTypes() []string {
	if p.handlers == nil {
		return nil
	}
	types := p.handlers.Types()
	for _, h := range p.plain {
		if len(h.types) == 0 {
			return nil
		}
		types = append(types, h.types...)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// SequenceKey implements [projection.Sequencer].
func (p *Projection) SequenceKey(e event.Event) string {
	if p.sequence == nil {
		return projection.DefaultSequenceKey(e)
	}
	return p.sequence(e)
}

// Apply implements [projection.Projection].
func (p *Projection) Apply(ctx context.Context, tx projection.Tx, e event.Event) error {
	t, err := p.own(ctx, tx)
	if err != nil {
		return err
	}
	for _, h := range p.plain {
		if len(h.types) > 0 && !slices.Contains(h.types, e.Type) {
			continue
		}
		if err := h.f(ctx, t, e); err != nil {
			return err
		}
	}
	_, err = p.handlers.Handle(handling{ctx: ctx, tx: t}, e)
	return err
}

// Prepare implements [projection.Preparer]: it creates the tables that are not
// there.
func (p *Projection) Prepare(ctx context.Context, tx projection.Tx) error {
	t, err := p.own(ctx, tx)
	if err != nil {
		return err
	}
	for _, table := range p.tables {
		if err := table.prepare(ctx, t, p.name); err != nil {
			return err
		}
	}
	return nil
}

// CanReset implements [projection.ResetChecker].
func (p *Projection) CanReset() error {
	if p.err == nil && len(p.tables) == 0 && p.reset == nil {
		return &event.DefinitionError{Subject: p.name, Reason: fmt.Sprintf("projection v%d cannot be rebuilt: it has neither sqlite.Table nor sqlite.OnReset", p.version)}
	}
	return p.err
}

// Reset implements [projection.Projection]: it drops the tables, creates them
// anew and calls what [OnReset] was given.
func (p *Projection) Reset(ctx context.Context, tx projection.Tx) error {
	if err := p.CanReset(); err != nil {
		return err
	}
	t, err := p.own(ctx, tx)
	if err != nil {
		return err
	}
	for _, table := range p.tables {
		if err := table.recreate(ctx, t); err != nil {
			return err
		}
	}
	if p.reset == nil {
		return nil
	}
	return p.reset(ctx, t)
}

// own returns the SQL transaction of a transaction of this package, decorated
// or not, and refuses any other.
func (p *Projection) own(ctx context.Context, tx projection.Tx) (*sql.Tx, error) {
	if p.err != nil {
		return nil, p.err
	}
	t, ok := projection.TxAs[*Tx](tx)
	if !ok {
		return nil, &event.DefinitionError{Subject: p.name, Reason: fmt.Sprintf("a projection of package sqlite needs a transaction of a sqlite.Store, not a %T: run it with that store as its progress", tx)}
	}
	return t.sql, t.usable(ctx)
}
