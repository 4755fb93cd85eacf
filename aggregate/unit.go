package aggregate

import (
	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// unit is what an aggregate has emitted and not saved, with the room that
// emitting and saving need. It is taken from the definition's pool at the first
// emit and given back after the save, so that neither allocates.
type unit[S any] struct {
	events      []event.Event
	correlation uuid.UUID // of the events whose context named none
	scratch     S         // the state that an emit works on
	append      [1]eventstore.Append
	joined      []joined
	call        *call // of a reaction; nil if the events are of none
	shared      bool  // a failed append may still be reading events and append
}

// mostEvents is how many events a unit keeps room for between two uses.
const mostEvents = 16

func (d *Definition[S]) open() *unit[S] {
	if u, ok := d.units.Get().(*unit[S]); ok {
		return u
	}
	return &unit[S]{events: make([]event.Event, 0, 1)}
}

// release gives u back. A store has answered that it stored the events, so it
// reads them no more; after a failure nobody can tell, and u is left to the
// garbage collector.
func (d *Definition[S]) release(u *unit[S]) {
	if u.shared || cap(u.events) > mostEvents {
		return
	}
	u.events, u.correlation, u.joined, u.call = u.events[:0], uuid.Nil, nil, nil
	d.units.Put(u)
}

// next returns the place for one more event. What an earlier one left there is
// overwritten; times and positions of storing are never set here.
func (u *unit[S]) next() *event.Event {
	n := len(u.events)
	if n == cap(u.events) {
		u.events = append(u.events, event.Event{})
	}
	u.events = u.events[:n+1]
	return &u.events[n]
}

// cut forgets all events after the first n. Those have never been sent.
func (u *unit[S]) cut(n int, correlation uuid.UUID) {
	u.events, u.correlation = u.events[:n], correlation
}

// appends returns what has to be appended: to stream what was emitted, and
// what joined.
func (u *unit[S]) appends(stream eventstore.Stream, saved uint64) []eventstore.Append {
	a := eventstore.Append{Stream: stream, Expected: eventstore.Exact(saved), Events: u.events}
	if u.shared || len(u.joined) > 0 {
		all := make([]eventstore.Append, 1, 1+len(u.joined))
		all[0] = a
		for _, j := range u.joined {
			all = append(all, j.append)
		}
		return all
	}
	u.append[0] = a
	return u.append[:]
}
