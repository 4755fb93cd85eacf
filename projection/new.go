package projection

import (
	"context"

	"github.com/evident-go/evident/event"
)

// New returns a projection whose target is whatever its handlers write to. It
// takes effect at least once: after a crash the last batch may be applied
// again. For a target in the store's own database use the adapter's
// NewProjection, whose handlers get the transaction.
//
// It is put together from parts: [On], [OnEvery] or [OnBatch], [OnReset],
// [OnRewind], [InLanes], [SequenceBy] and [Codec]. Parts that contradict each other are a
// [*event.DefinitionError], which Validate returns and [NewRunner] refuses.
func New(name string, version int, parts ...Part) *Declared[Outside] {
	d := Declare[Outside](name, version)
	for _, part := range parts {
		if part == nil {
			d.Refuse("a part is nil")
			continue
		}
		part(d)
	}
	return d.Build(nil)
}

// Outside stands for a target outside of the store's database: handlers know
// it, and need not be given anything.
type Outside struct{}

// Part is one thing that a projection declares.
type Part func(*Declaration[Outside])

// On handles the events of one payload type.
func On[P event.Payload](f func(ctx context.Context, e event.Of[P]) error) Part {
	return func(d *Declaration[Outside]) { Handle(d, outside(f)) }
}

// OnEvery handles the events of the given types, or every event if none is
// given, with the payload as bytes. Older names of a type are not looked for.
// It runs before the handler of the event's type.
func OnEvery(f func(ctx context.Context, e event.Event) error, types ...string) Part {
	return func(d *Declaration[Outside]) { d.OnEvery(outside(f), types...) }
}

// OnBatch handles whole batches of events, where writing many at once is much
// cheaper than one by one: those of the given types, or every event if none is
// given. What it is given, and what happens when it fails, says [Batcher]. A
// projection with OnBatch has no other handler.
//
// If f fails after it has written something, the same events come again, one
// by one; so they do after a crash, and then they may be cut into other
// batches. The target must be able to tell each event by its position.
func OnBatch(f func(ctx context.Context, events []event.Event) error, types ...string) Part {
	return func(d *Declaration[Outside]) { d.OnBatch(outside(f), types...) }
}

// OnReset empties the target, so that the projection can be rebuilt.
func OnReset(f func(ctx context.Context) error) Part {
	return func(d *Declaration[Outside]) {
		if f == nil {
			d.OnReset(nil)
			return
		}
		d.OnReset(func(ctx context.Context, _ Outside) error { return f(ctx) })
	}
}

// outside gives a handler the form that a declaration wants.
func outside[E any](f func(context.Context, E) error) func(context.Context, Outside, E) error {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, _ Outside, e E) error { return f(ctx, e) }
}

// OnRewind undoes what was built from the events above a position, for when the
// projection is rewound. Without it, events that come again are told by their
// positions.
func OnRewind(f func(ctx context.Context, position uint64) error) Part {
	return func(d *Declaration[Outside]) {
		if f == nil {
			d.OnRewind(nil)
			return
		}
		d.OnRewind(func(ctx context.Context, _ Outside, position uint64) error { return f(ctx, position) })
	}
}

// InLanes divides the projection into so many lanes to begin with, from 1 to
// [Slots]: events of different streams are then applied at once, also by
// several processes, those of one stream in order. Handlers are called
// concurrently.
func InLanes(lanes int) Part {
	return func(d *Declaration[Outside]) { d.InLanes(lanes) }
}

// SequenceBy sets the key by which events park behind one that failed, and by
// which they are divided among lanes. The default, also for nil, is the event's
// stream.
func SequenceBy(key func(e event.Event) string) Part {
	return func(d *Declaration[Outside]) { d.SequenceBy(key) }
}

// Codec sets what payloads are decoded with; the default, also for nil, is
// [event.JSON].
func Codec(codec event.Codec) Part {
	return func(d *Declaration[Outside]) { d.Codec(codec) }
}
