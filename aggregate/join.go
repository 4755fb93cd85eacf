package aggregate

import (
	"context"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// joined is an append that takes part in an aggregate's save.
type joined struct {
	append eventstore.Append
	stored func(context.Context, eventstore.Result)
}

// Join lets an append to another stream take part in the aggregate's next
// save: it is stored together with what the aggregate emitted, or not at all.
// If nothing was emitted, the save stores the append alone, provided that the
// aggregate has not changed since it was loaded.
//
// After the save stored is called with the store's answer, on the goroutine
// that saves; it may be nil. A save that is repeated after an error sends the
// same append again. [Repository.Update] starts over with another aggregate,
// which nothing has joined yet: call Join where it decides.
//
// The append must not be changed afterwards, and its stream must not be named
// twice in one save. The only error is that of an aggregate which cannot be
// used, such as [ErrUnbound], or [event.ErrInvalid] for an append without events.
func (r *AggregateRoot[S]) Join(also eventstore.Append, stored func(ctx context.Context, result eventstore.Result)) error {
	if err := r.check(); err != nil {
		return err
	}
	if len(also.Events) == 0 {
		return &event.InvalidError{Field: "append.events", Reason: "must not be empty"}
	}
	if r.unit == nil {
		r.unit = r.definition.open()
	}
	r.unit.joined = append(r.unit.joined, joined{append: also, stored: stored})
	return nil
}

// unsaved reports whether a save has anything to store.
func (r *AggregateRoot[S]) unsaved() bool {
	return r.unit != nil && (len(r.unit.events) > 0 || len(r.unit.joined) > 0)
}

// companions returns what has joined the next save.
func (r *AggregateRoot[S]) companions() []joined {
	if r.unit == nil {
		return nil
	}
	return r.unit.joined
}

// tell calls those who wait for a save.
func tell(ctx context.Context, companions []joined, result eventstore.Result) {
	for _, j := range companions {
		if j.stored != nil {
			j.stored(ctx, result)
		}
	}
}
