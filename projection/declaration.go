package projection

import (
	"context"
	"slices"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// Declaration collects what the parts of a projection say: those of [New] and
// of every adapter's NewProjection. It is for those who write an adapter; users
// see the adapter's own parts, each of which calls one method here, or [Handle].
//
// A is what handlers are given besides the context and the event: a *sql.Tx in
// package sqlite. A declaration is made by [Declare] and is not safe for
// concurrent use.
type Declaration[A any] struct {
	declared Declared[A]
	typed    []event.Handler[given[A]]
}

// given is what a typed handler is given besides the event.
type given[A any] struct {
	ctx context.Context //nolint:containedctx // an argument on its way through event.Handlers, not kept.
	arg A
}

// every handles events whose payload stays as it is.
type every[A any] struct {
	types []string // none for all
	f     func(ctx context.Context, arg A, e event.Event) error
}

// batch handles many such events at once.
type batch[A any] struct {
	types []string // none for all
	f     func(ctx context.Context, arg A, events []event.Event) error
}

// Declare begins the declaration of a projection. Name and version name its
// checkpoint; a new version starts from the first event.
func Declare[A any](name string, version int) *Declaration[A] {
	return &Declaration[A]{declared: Declared[A]{name: name, version: version}}
}

// Handle adds a handler for the events of one payload type.
func Handle[A any, P event.Payload](d *Declaration[A], f func(ctx context.Context, arg A, e event.Of[P]) error) {
	var handle func(given[A], event.Of[P]) error
	if f != nil {
		handle = func(g given[A], e event.Of[P]) error { return f(g.ctx, g.arg, e) }
	}
	d.typed = append(d.typed, event.Handle(handle))
}

// OnEvery adds a handler for the events of the given types, or for every event
// if none is given, with the payload as bytes. It runs before typed handlers.
func (d *Declaration[A]) OnEvery(f func(ctx context.Context, arg A, e event.Event) error, types ...string) {
	if f == nil {
		d.Refuse("function given to OnEvery is nil")
	}
	d.declared.every = append(d.declared.every, every[A]{types: types, f: f})
}

// OnBatch sets what handles whole batches of events of the given types, or of
// every event if none is given. See [Batcher]. It allows no other handler.
func (d *Declaration[A]) OnBatch(f func(ctx context.Context, arg A, events []event.Event) error, types ...string) {
	switch {
	case f == nil:
		d.Refuse("function given to OnBatch is nil")
	case d.declared.batch != nil:
		d.Refuse("OnBatch is given twice")
	}
	d.declared.batch = &batch[A]{types: types, f: f}
}

// OnReset adds what empties the target, so that the projection can be rebuilt.
// Several run in the order in which they were added.
func (d *Declaration[A]) OnReset(f func(ctx context.Context, arg A) error) {
	if f == nil {
		d.Refuse("function given to OnReset is nil")
	}
	d.declared.resets = append(d.declared.resets, f)
}

// OnRewind adds what undoes the effects of all events above a position, see
// [Rewinder]. Several run in the order in which they were added.
func (d *Declaration[A]) OnRewind(f func(ctx context.Context, arg A, position uint64) error) {
	if f == nil {
		d.Refuse("function given to OnRewind is nil")
	}
	d.declared.rewinds = append(d.declared.rewinds, f)
}

// InLanes sets in how many lanes the projection begins, see [Laned].
func (d *Declaration[A]) InLanes(lanes int) {
	if err := registry.CheckLanes("lanes", lanes); err != nil {
		d.Refuse(err.Error())
	}
	d.declared.lanes = lanes
}

// SequenceBy sets the key by which events park behind one that failed, and by
// which they are divided among lanes; nil is [DefaultSequenceKey].
func (d *Declaration[A]) SequenceBy(key func(e event.Event) string) { d.declared.sequence = key }

// Codec sets what payloads are decoded with; nil is [event.JSON].
func (d *Declaration[A]) Codec(codec event.Codec) { d.declared.codec = codec }

// Refuse notes that parts contradict each other, as a [*event.DefinitionError].
// The first reason counts.
func (d *Declaration[A]) Refuse(reason string) {
	if d.declared.err == nil {
		d.declared.err = &event.DefinitionError{Subject: d.declared.name, Reason: reason}
	}
}

// Build ends the declaration. The target takes the argument of handlers out of
// the runner's transaction; it is called once for each event or batch, and
// refuses a transaction that is not of its adapter. With it, events take effect
// exactly once. If target is nil, handlers write elsewhere and are given the
// zero A, and events take effect at least once.
func (d *Declaration[A]) Build(target func(ctx context.Context, tx Tx) (A, error)) *Declared[A] {
	d.checkHandlers()
	p := d.declared // a copy: what was built stays as it is
	p.target = target
	if p.err == nil {
		p.handlers, p.err = event.NewHandlers(p.codec, d.typed...)
	}
	if p.err == nil {
		p.types = p.wanted()
	}
	return &p
}

func (d *Declaration[A]) checkHandlers() {
	single := len(d.typed) + len(d.declared.every)
	switch batch := d.declared.batch != nil; {
	case single == 0 && !batch:
		d.Refuse("projection has no handler")
	case single > 0 && batch:
		d.Refuse("projection has a handler for batches and one for single events, whose order nobody knows: make two projections")
	}
}

// wanted returns the types of all handlers, or nil if one of them wants all.
func (d *Declared[A]) wanted() []string {
	if d.batch != nil {
		return sorted(d.batch.types)
	}
	types := d.handlers.Types()
	for _, h := range d.every {
		if len(h.types) == 0 {
			return nil
		}
		types = append(types, h.types...)
	}
	return sorted(types)
}

// sorted returns each of types once, in order; nil if there is none.
func sorted(types []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(types)))
}
