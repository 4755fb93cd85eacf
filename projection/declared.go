package projection

import (
	"context"
	"slices"

	"github.com/evident-go/evident/event"
)

var (
	_ Projection   = (*Declared[any])(nil)
	_ Batcher      = (*Declared[any])(nil)
	_ Validator    = (*Declared[any])(nil)
	_ ResetChecker = (*Declared[any])(nil)
	_ Sequencer    = (*Declared[any])(nil)
	_ Laned        = (*Declared[any])(nil)
	_ Rewinder     = (*Declared[any])(nil)
)

// Declared is a projection that was put together from parts, by [New] or by an
// adapter's NewProjection, which embeds it. A is what its handlers are given
// besides the context and the event. It is immutable and safe for concurrent
// use as far as its handlers are.
type Declared[A any] struct {
	name     string
	version  int
	codec    event.Codec
	every    []every[A]
	batch    *batch[A]
	resets   []func(ctx context.Context, arg A) error
	rewinds  []func(ctx context.Context, arg A, position uint64) error
	lanes    int // 0 means 1
	sequence func(event.Event) string
	target   func(ctx context.Context, tx Tx) (A, error)

	handlers *event.Handlers[given[A]]
	types    []string
	err      error
}

// Name implements [Projection].
func (d *Declared[A]) Name() string { return d.name }

// Version implements [Projection].
func (d *Declared[A]) Version() int { return d.version }

// Guarantee implements [Projection]: [ExactlyOnce] if handlers write through
// the runner's transaction, else [AtLeastOnce].
func (d *Declared[A]) Guarantee() Guarantee {
	if d.target != nil {
		return ExactlyOnce
	}
	return AtLeastOnce
}

// Validate implements [Validator].
func (d *Declared[A]) Validate() error { return d.err }

// EventTypes implements [Projection]: the types of all handlers.
func (d *Declared[A]) EventTypes() []string { return slices.Clone(d.types) }

// SequenceKey implements [Sequencer].
func (d *Declared[A]) SequenceKey(e event.Event) string {
	if d.sequence == nil {
		return DefaultSequenceKey(e)
	}
	return d.sequence(e)
}

// Apply implements [Projection]. A handler for batches gets a batch of one.
func (d *Declared[A]) Apply(ctx context.Context, tx Tx, e event.Event) error {
	if d.Batches() {
		return d.ApplyBatch(ctx, tx, []event.Event{e})
	}
	arg, err := d.argument(ctx, tx)
	if err != nil {
		return err
	}
	for _, h := range d.every {
		if !wants(h.types, e) {
			continue
		}
		if err := h.f(ctx, arg, e); err != nil {
			return err
		}
	}
	_, err = d.handlers.Handle(given[A]{ctx: ctx, arg: arg}, e)
	return err // a handler's error belongs to the caller as it is.
}

// wants reports whether e is of one of types; none means all.
func wants(types []string, e event.Event) bool {
	return len(types) == 0 || slices.Contains(types, e.Type)
}

// Batches implements [Batcher]: whether OnBatch was among the parts.
func (d *Declared[A]) Batches() bool { return d.batch != nil }

// ApplyBatch implements [Batcher]. Without OnBatch it applies the events one
// after the other.
func (d *Declared[A]) ApplyBatch(ctx context.Context, tx Tx, events []event.Event) error {
	if !d.Batches() {
		for _, e := range events {
			if err := d.Apply(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	}
	arg, err := d.argument(ctx, tx)
	if err != nil {
		return err
	}
	if len(events) == 1 && !wants(d.batch.types, events[0]) {
		return nil // a letter that was parked when the projection wanted more types
	}
	return d.batch.f(ctx, arg, events)
}

// CanReset implements [ResetChecker].
func (d *Declared[A]) CanReset() error {
	if d.err == nil && len(d.resets) == 0 {
		return &event.DefinitionError{Subject: d.name, Reason: "projection cannot be rebuilt: no part of it, such as OnReset, says how to empty its target"}
	}
	return d.err
}

// Reset implements [Projection]: it calls what OnReset was given.
func (d *Declared[A]) Reset(ctx context.Context, tx Tx) error {
	if err := d.CanReset(); err != nil {
		return err
	}
	arg, err := d.argument(ctx, tx)
	if err != nil {
		return err
	}
	for _, reset := range d.resets {
		if err := reset(ctx, arg); err != nil {
			return err
		}
	}
	return nil
}

// Lanes implements [Laned].
func (d *Declared[A]) Lanes() int { return max(1, d.lanes) }

// CanRewind implements [Rewinder]. A target outside of the store's database is
// expected to tell by its position an event that comes again.
func (d *Declared[A]) CanRewind() error {
	if d.err == nil && d.target != nil && len(d.rewinds) == 0 {
		return &event.DefinitionError{Subject: d.name, Reason: "projection cannot be rewound, since what it has applied would take effect twice: add OnRewind, or rebuild it"}
	}
	return d.err
}

// Rewind implements [Rewinder]: it calls what OnRewind was given.
func (d *Declared[A]) Rewind(ctx context.Context, tx Tx, position uint64) error {
	if err := d.CanRewind(); err != nil {
		return err
	}
	arg, err := d.argument(ctx, tx)
	if err != nil {
		return err
	}
	for _, rewind := range d.rewinds {
		if err := rewind(ctx, arg, position); err != nil {
			return err
		}
	}
	return nil
}

// argument returns what handlers are given.
func (d *Declared[A]) argument(ctx context.Context, tx Tx) (arg A, err error) {
	if d.err != nil {
		return arg, d.err
	}
	if d.target == nil {
		return arg, nil
	}
	arg, err = d.target(ctx, tx)
	if err != nil {
		return arg, Unfit(err)
	}
	return arg, nil
}
