package projection

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/event"
)

// New returns a projection whose target is whatever its handlers write to. It
// takes effect at least once: after a crash the last batch may be applied
// again. For a target in the store's own database use the adapter's
// NewProjection, whose handlers get the transaction.
//
// A projection with contradictory parts is refused by [NewRunner] with a
// [*event.DefinitionError].
func New(name string, version int, parts ...Part) *Declared {
	d := &Declared{name: name, version: version}
	for _, part := range parts {
		if part == nil {
			d.err = &event.DefinitionError{Subject: name, Reason: "a part is nil"}
			return d
		}
		part(d)
	}
	d.handlers, d.err = event.NewHandlers(d.codec, d.typed...)
	if d.err == nil {
		d.err = d.check()
	}
	return d
}

// Declared is a projection that was put together by [New].
type Declared struct {
	name     string
	version  int
	codec    event.Codec
	typed    []event.Handler[context.Context]
	every    []func(context.Context, event.Event) error
	reset    func(context.Context) error
	sequence func(event.Event) string
	handlers *event.Handlers[context.Context]
	err      error
}

// Part is one thing that a projection declares: see [On], [OnEvery],
// [OnReset], [SequenceBy] and [Codec].
type Part func(*Declared)

// On handles the events of one payload type.
func On[P event.Payload](f func(ctx context.Context, e event.Of[P]) error) Part {
	return func(d *Declared) { d.typed = append(d.typed, event.Handle(f)) }
}

// OnEvery handles every event, whatever its type, with the payload as bytes.
// It runs before the handler of the event's type.
func OnEvery(f func(ctx context.Context, e event.Event) error) Part {
	return func(d *Declared) { d.every = append(d.every, f) }
}

// OnReset empties the target, so that the projection can be rebuilt.
func OnReset(f func(ctx context.Context) error) Part {
	return func(d *Declared) { d.reset = f }
}

// SequenceBy sets the key by which events park behind one that failed. The
// default is the event's stream.
func SequenceBy(key func(e event.Event) string) Part {
	return func(d *Declared) { d.sequence = key }
}

// Codec sets what payloads are decoded with; the default is [event.JSON].
func Codec(codec event.Codec) Part { return func(d *Declared) { d.codec = codec } }

func (d *Declared) check() error {
	if len(d.typed) == 0 && len(d.every) == 0 {
		return &event.DefinitionError{Subject: d.name, Reason: "projection has no handler"}
	}
	for _, f := range d.every {
		if f == nil {
			return &event.DefinitionError{Subject: d.name, Reason: "handler for every event is nil"}
		}
	}
	return nil
}

// Name implements [Projection].
func (d *Declared) Name() string { return d.name }

// Version implements [Projection].
func (d *Declared) Version() int { return d.version }

// Guarantee implements [Projection]: [AtLeastOnce].
func (d *Declared) Guarantee() Guarantee { return AtLeastOnce }

// Validate implements [Validator].
func (d *Declared) Validate() error { return d.err }

// EventTypes implements [Projection].
func (d *Declared) EventTypes() []string {
	if len(d.every) > 0 || d.handlers == nil {
		return nil
	}
	return d.handlers.Types()
}

// SequenceKey implements [Sequencer].
func (d *Declared) SequenceKey(e event.Event) string {
	if d.sequence == nil {
		return DefaultSequenceKey(e)
	}
	return d.sequence(e)
}

// Apply implements [Projection].
func (d *Declared) Apply(ctx context.Context, _ Tx, e event.Event) error {
	for _, f := range d.every {
		if err := f(ctx, e); err != nil {
			return err
		}
	}
	_, err := d.handlers.Handle(ctx, e)
	return err // a handler's error belongs to the caller as it is.
}

// CanReset implements [ResetChecker].
func (d *Declared) CanReset() error {
	if d.reset == nil {
		return &event.DefinitionError{Subject: d.name, Reason: fmt.Sprintf("projection v%d cannot be rebuilt: it has no projection.OnReset", d.version)}
	}
	return nil
}

// Reset implements [Projection].
func (d *Declared) Reset(ctx context.Context, _ Tx) error {
	if err := d.CanReset(); err != nil {
		return err
	}
	return d.reset(ctx)
}
