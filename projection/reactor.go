package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/event"
)

// LiveOnly is implemented by projections whose effects cannot be taken back:
// messages, mail, commands. A [Reactor] is one. A runner neither rebuilds nor
// rewinds them. A version that another one of the same name is live beside does
// not run until it is switched to, and goes on where that one stands.
type LiveOnly interface {
	// From says where the projection begins when no version of it has run yet.
	From() Start
}

// Start is where a [LiveOnly] projection begins.
type Start uint8

const (
	// StartAtHead begins with what happens from now on.
	StartAtHead Start = iota
	// StartAtFirst begins with the first event that the store has.
	StartAtFirst
)

// String returns "head" or "first event".
func (s Start) String() string {
	if s == StartAtFirst {
		return "first event"
	}
	return "head"
}

var (
	_ Projection   = (*Reactor)(nil)
	_ LiveOnly     = (*Reactor)(nil)
	_ Validator    = (*Reactor)(nil)
	_ ResetChecker = (*Reactor)(nil)
	_ Sequencer    = (*Reactor)(nil)
	_ Laned        = (*Reactor)(nil)
	_ Rewinder     = (*Reactor)(nil)
)

// reactions is what a reactor does, as the projection that it would be if that
// could be taken back.
type reactions = Declared[Outside]

// Reactor does something because of events: it sends messages and mail, and
// gives commands. It is made by [NewReactor], immutable, and safe for concurrent
// use as far as its handlers are.
//
// It makes these promises:
//
//  1. At least once. A handler runs for every event from the start on, again
//     after a crash, and again when a letter is tried again.
//  2. What it appends through package aggregate is appended once for each event,
//     however often the handler runs, see [event.Reaction]: also by several
//     processes at once, and also by another version of the reactor.
//  3. The context says where it comes from. What is emitted is caused by the
//     event, belongs to its chain and to its tenant, and was done by the reactor
//     itself, never by whoever did what it reacts to. All that the context of the
//     runner said of these is gone, metadata too, but for the key "traceparent".
//  4. Live only. It is never rebuilt and never rewound, so that no message is
//     sent for an old event a second time.
//
// For effects elsewhere, [event.Reaction.Key] is an id by which a service can
// tell what it has done already.
type Reactor struct {
	*reactions

	start Start
	actor event.ActorID
}

// NewReactor returns a reactor. It is put together from parts: [On] and
// [OnEvery], [SequenceBy], [InLanes], [Codec], [StartAt] and [ActAs]. Parts that
// contradict each other, or have no place here, are a [*event.DefinitionError],
// which Validate returns and [NewRunner] refuses.
//
// The name must never change as long as events may be reacted to a second time:
// the ids of what a reactor appends follow from it. They do not follow from the
// version, which can be raised.
func NewReactor(name string, version int, parts ...ReactorPart) *Reactor {
	r := &Reactor{actor: event.System(name)}
	d := Declare[Outside](name, version)
	for _, part := range parts {
		if part == nil {
			d.Refuse("a part is nil")
			continue
		}
		part.react(r, d)
	}
	r.check(d)
	r.reactions = d.Build(nil)
	return r
}

// check refuses what has no place in a reactor.
func (r *Reactor) check(d *Declaration[Outside]) {
	switch {
	case len(d.declared.resets) > 0:
		d.Refuse("a reactor is never rebuilt, so OnReset has no place in it")
	case len(d.declared.rewinds) > 0:
		d.Refuse("a reactor is never rewound, so OnRewind has no place in it")
	case d.declared.batch != nil:
		d.Refuse("a reactor reacts to one event at a time, so OnBatch has no place in it")
	case r.start > StartAtFirst:
		d.Refuse("StartAt must be given StartAtHead or StartAtFirst")
	}
	if _, err := event.ParseActorID(string(r.actor)); err != nil {
		d.Refuse(err.Error())
	}
}

// ReactorPart is one thing that a reactor declares: a [Part] of any projection,
// or one of [StartAt] and [ActAs].
type ReactorPart interface {
	react(r *Reactor, d *Declaration[Outside])
}

func (p Part) react(_ *Reactor, d *Declaration[Outside]) {
	if p == nil {
		d.Refuse("a part is nil")
		return
	}
	p(d)
}

type reactorPart func(r *Reactor)

func (p reactorPart) react(r *Reactor, _ *Declaration[Outside]) { p(r) }

// StartAt says where the reactor begins when it first runs. Without it, that
// is [StartAtHead].
func StartAt(start Start) ReactorPart {
	return reactorPart(func(r *Reactor) { r.start = start })
}

// ActAs sets the actor of what the reactor does. Without it, that is
// [event.System] of its name. A handler that acts with the rights of somebody
// else says so itself, as everybody does, in the metadata of what it emits.
func ActAs(actor event.ActorID) ReactorPart {
	return reactorPart(func(r *Reactor) { r.actor = actor })
}

// From implements [LiveOnly].
func (r *Reactor) From() Start { return r.start }

// Apply implements [Projection].
func (r *Reactor) Apply(ctx context.Context, tx Tx, e event.Event) error {
	return r.reactions.Apply(r.caused(ctx, e), tx, e)
}

// ApplyBatch implements [Batcher], whose runners never call it here. It reacts
// to the events one after the other.
func (r *Reactor) ApplyBatch(ctx context.Context, tx Tx, events []event.Event) error {
	for _, e := range events {
		if err := r.Apply(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

// keyTraceparent is the metadata key under which a trace is carried on, see
// package audit.
const keyTraceparent = "traceparent"

// caused returns the context of one try.
func (r *Reactor) caused(ctx context.Context, e event.Event) context.Context {
	o := event.Origin{ActorID: r.actor, TenantID: e.TenantID}
	if trace, ok := event.OriginFrom(ctx).Metadata[keyTraceparent]; ok {
		o.Metadata = event.Metadata{keyTraceparent: trace}
	}
	return event.WithReaction(event.WithOrigin(ctx, o), r.Name(), e)
}

// CanReset implements [ResetChecker]: it cannot.
func (r *Reactor) CanReset() error {
	if r.err != nil {
		return r.err
	}
	return &LiveOnlyError{Projection: r.Name(), Refused: "rebuilt"}
}

// Reset implements [Projection]. It returns what CanReset does.
func (r *Reactor) Reset(context.Context, Tx) error { return r.CanReset() }

// CanRewind implements [Rewinder]: it cannot.
func (r *Reactor) CanRewind() error {
	if r.err != nil {
		return r.err
	}
	return &LiveOnlyError{Projection: r.Name(), Refused: "rewound"}
}

// Rewind implements [Rewinder]. It returns what CanRewind does.
func (r *Reactor) Rewind(context.Context, Tx, uint64) error { return r.CanRewind() }

// ErrLiveOnly says that a projection cannot be rebuilt or rewound, because its
// effects cannot be taken back.
var ErrLiveOnly = errors.New("projection is live-only")

// LiveOnlyError says what was refused.
type LiveOnlyError struct {
	Projection string
	Refused    string // "rebuilt" or "rewound"
}

// Error implements error.
func (e *LiveOnlyError) Error() string {
	return fmt.Sprintf("projection %q is live-only and cannot be %s: its messages would be sent, and its commands given, a second time; for past events make a reactor of another name that starts at the first",
		e.Projection, e.Refused)
}

// Is reports whether target is [ErrLiveOnly].
func (e *LiveOnlyError) Is(target error) bool { return target == ErrLiveOnly }
