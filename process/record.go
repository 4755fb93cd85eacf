package process

import (
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// Phase is where an instance stands in its life.
type Phase string

const (
	// Running handles events.
	Running Phase = "running"
	// Failing undoes what was done. It handles no other events.
	Failing Phase = "failing"
	// Over has ended, or has undone everything. It handles no more events.
	Over Phase = "over"
)

// record is the state of an instance: the application's, and what this package
// has to know besides. It is exported to encoding only.
type record[S any] struct {
	State    S
	Phase    Phase                // "" before the first event
	From     uint64               // position of the event that began it
	Failure  string               // why it failed; "" if it did not
	Timeouts map[string]timeout   // that are waited for, by name
	Elapsed  map[string]uuid.UUID // that were waited for in vain and not handled yet: the TimeoutElapsed
}

// timeout is one that is waited for.
type timeout struct {
	Set uuid.UUID // id of the TimeoutSet
	Due time.Time
}

// waitsFor reports whether the wait that began with the event set goes on.
func (r *record[S]) waitsFor(name string, set uuid.UUID) bool {
	t, ok := r.Timeouts[name]
	return ok && t.Set == set
}

// knows reports whether there is anything to cancel under a timeout's name.
func (r *record[S]) knows(name string) bool {
	_, waits := r.Timeouts[name]
	_, elapsed := r.Elapsed[name]
	return waits || elapsed
}

func (r *record[S]) forget(name string) {
	delete(r.Timeouts, name)
	delete(r.Elapsed, name)
}

// evolution says what this package's own events change.
func evolution[S any]() []aggregate.Part[record[S]] {
	return []aggregate.Part[record[S]]{
		aggregate.On(func(r *record[S], e event.Of[Started]) { r.Phase, r.From = Running, e.Payload.Position }),
		aggregate.On(func(r *record[S], e event.Of[Handled]) {
			for name, id := range r.Elapsed {
				if id == e.Payload.Event {
					delete(r.Elapsed, name)
				}
			}
		}),
		aggregate.On(func(r *record[S], e event.Of[TimeoutSet]) {
			r.forget(e.Payload.Name)
			if r.Timeouts == nil {
				r.Timeouts = make(map[string]timeout)
			}
			r.Timeouts[e.Payload.Name] = timeout{Set: e.ID, Due: e.Payload.Due}
		}),
		aggregate.On(func(r *record[S], e event.Of[TimeoutCancelled]) { r.forget(e.Payload.Name) }),
		aggregate.On(func(r *record[S], e event.Of[TimeoutElapsed]) {
			if !r.waitsFor(e.Payload.Name, e.Payload.Set) {
				return
			}
			delete(r.Timeouts, e.Payload.Name)
			if r.Elapsed == nil {
				r.Elapsed = make(map[string]uuid.UUID)
			}
			r.Elapsed[e.Payload.Name] = e.ID
		}),
		aggregate.On(func(r *record[S], e event.Of[Failed]) {
			r.Phase, r.Failure = Failing, e.Payload.Reason
			r.Timeouts, r.Elapsed = nil, nil
		}),
		aggregate.On(func(*record[S], event.Of[Undone]) {}),
		aggregate.On(func(r *record[S], _ event.Of[Ended]) {
			r.Phase = Over
			r.Timeouts, r.Elapsed = nil, nil
		}),
	}
}

// root is an instance as an aggregate.
type root[S any] struct {
	aggregate.AggregateRoot[record[S]]
}
