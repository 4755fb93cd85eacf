package aggregate

import (
	"fmt"

	"github.com/evident-go/evident/event"
)

// On returns the handler for one type of event: f changes the state to what it
// is after the event. The payload type is taken from f's argument, the event's
// name from the payload type.
//
// f must depend on nothing but its arguments, since it runs again at every
// load. At [AggregateRoot.Emit] the event has no position and no recorded-at
// time yet.
func On[S any, P event.Payload](f func(*S, event.Of[P])) Part[S] {
	if f == nil {
		return part(caller[S, P]{}, nil)
	}
	return part(caller[S, P]{sure: f}, func(s *S, e event.Of[P]) error { f(s, e); return nil })
}

// Evolve is [On] for functions that return the next state instead of changing
// the one they are given.
func Evolve[S any, P event.Payload](f func(S, event.Of[P]) S) Part[S] {
	if f == nil {
		return On[S, P](nil)
	}
	return On(func(s *S, e event.Of[P]) { *s = f(*s, e) })
}

// OnErr is [On] for functions that may fail. A failure makes Emit reject the
// command, and a load fail, with an [*ApplyError].
func OnErr[S any, P event.Payload](f func(*S, event.Of[P]) error) Part[S] {
	return part(caller[S, P]{failing: f}, f)
}

func part[S any, P event.Payload](call caller[S, P], handle func(*S, event.Of[P]) error) Part[S] {
	return func(d *draft[S]) {
		d.current = append(d.current, event.Handle(handle))
		d.payloads = append(d.payloads, event.Handle(collect[P]))
		d.named = append(d.named, named[S]{
			name:  func() string { return (*new(P)).EventType() },
			route: route[S]{emit: call.emit, replay: call.replay},
		})
	}
}

// named is a route whose name is asked for once it is known to be safe to ask.
type named[S any] struct {
	name  func() string
	route route[S]
}

// route is the short way to the handler of an event in its current form.
// [event.Handlers] knows the long one, through upcasts; both call the same
// function. Routes take events by pointer, and hand them on at once: an event
// is some 300 bytes, and these calls are the hottest of the package.
type route[S any] struct {
	name    string
	version int
	emit    func(*S, *event.Event, event.Payload) error
	replay  func(*S, *event.Event, event.Codec) error
}

// caller calls an application's function: the one that is not nil.
type caller[S any, P event.Payload] struct {
	sure    func(*S, event.Of[P])
	failing func(*S, event.Of[P]) error
}

func (c caller[S, P]) call(s *S, e *event.Event, p *P) error {
	if c.sure != nil {
		c.sure(s, event.Of[P]{Event: *e, Payload: *p})
		return nil
	}
	return c.failing(s, event.Of[P]{Event: *e, Payload: *p})
}

// emit calls the function with a payload at hand, a value or a pointer.
func (c caller[S, P]) emit(s *S, e *event.Event, payload event.Payload) error {
	switch p := any(payload).(type) {
	case P:
		return c.call(s, e, &p)
	case *P:
		return c.call(s, e, p)
	default:
		return &event.DefinitionError{Subject: e.Type, Reason: fmt.Sprintf("payload is a %T, the handler takes a %T", payload, *new(P))}
	}
}

// replay calls the function with the payload that a stored event holds.
func (c caller[S, P]) replay(s *S, e *event.Event, codec event.Codec) error {
	var p P
	if err := codec.Decode(e.Data, &p); err != nil {
		return &event.DecodeError{EventID: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion, Position: e.Position, Err: err}
	}
	return c.call(s, e, &p)
}

func collect[P event.Payload](payloads *[]event.Payload, e event.Of[P]) error {
	*payloads = append(*payloads, e.Payload)
	return nil
}
