package process

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// Definition says what a process is: which events it handles, for which of its
// instances, and what it does. S is what an instance remembers. It is made by
// [Define], immutable, and safe for concurrent use.
type Definition[S any] struct {
	name     string
	version  int
	lanes    int
	start    projection.Start
	actor    event.ActorID
	timeouts map[string]func(ctx context.Context, p *Instance[S]) error

	state  *aggregate.Definition[record[S]]
	inputs *event.Handlers[*[]delivery[S]]
	undos  *event.Handlers[*[]undo[S]]
	err    error
}

// delivery is an event on its way to an instance.
type delivery[S any] struct {
	key    uuid.UUID
	starts bool
	handle func(ctx context.Context, p *Instance[S]) error
}

// undo undoes what one event of an instance stands for.
type undo[S any] struct {
	event event.Event
	run   func(ctx context.Context, p *Instance[S]) error
}

// Part is one part of a definition.
type Part[S any] func(*draft[S])

// draft is a definition whose parts have not been joined yet.
type draft[S any] struct {
	*Definition[S]

	parts   []aggregate.Part[record[S]]
	applied []string // names of the events that change the state
	handled []event.Handler[*[]delivery[S]]
	undoing []event.Handler[*[]undo[S]]
	undone  map[string]aggregate.Part[record[S]] // by name: for those that change nothing
	codec   event.Codec
}

// Define returns the definition of a process. The name is the aggregate type
// of its instances, and the name of its projection; it must never change for
// stored instances. The version is that of the code, from 1; instances outlive
// it.
//
// It is put together from [StartOn], [On], [OnTimeout], [Apply] and [Undo], and
// from [Initial], [OwnedBy], [Codec], [SnapshotVersion], [InLanes], [StartAt] and
// [ActAs]. Parts that contradict each other are a [*event.DefinitionError],
// which Validate returns and [NewManager] refuses.
func Define[S any](name string, version int, parts ...Part[S]) *Definition[S] {
	d := &draft[S]{
		Definition: &Definition[S]{
			name: name, version: version, lanes: 1, actor: event.System(name),
			timeouts: make(map[string]func(context.Context, *Instance[S]) error),
		},
		undone: make(map[string]aggregate.Part[record[S]]),
	}
	for _, part := range parts {
		if part == nil {
			d.refuse("has a part that is nil")
			continue
		}
		part(d)
	}
	d.complete()
	return d.Definition
}

// StartOn handles the events of one type, of which the first begins an
// instance: the one with the id that key returns. uuid.Nil means none. The key
// must depend on nothing but the event; [ByAggregate] is one.
func StartOn[S any, P event.Payload](key func(e event.Of[P]) uuid.UUID, handle func(ctx context.Context, p *Instance[S], e event.Of[P]) error) Part[S] {
	return input(true, key, handle)
}

// On handles the events of one type, for the instance with the id that key
// returns, if it has begun and has not ended; else they are ignored. uuid.Nil
// means none.
func On[S any, P event.Payload](key func(e event.Of[P]) uuid.UUID, handle func(ctx context.Context, p *Instance[S], e event.Of[P]) error) Part[S] {
	return input(false, key, handle)
}

// ByAggregate is the key of instances that have the id of the aggregate whose
// events they handle.
func ByAggregate[P event.Payload](e event.Of[P]) uuid.UUID { return e.AggregateID }

func input[S any, P event.Payload](starts bool, key func(event.Of[P]) uuid.UUID, handle func(context.Context, *Instance[S], event.Of[P]) error) Part[S] {
	return func(d *draft[S]) {
		if key == nil || handle == nil {
			d.refuse("has a key or a handler that is nil")
			return
		}
		d.handled = append(d.handled, event.Handle(func(found *[]delivery[S], e event.Of[P]) error {
			*found = append(*found, delivery[S]{
				key: key(e), starts: starts,
				handle: func(ctx context.Context, p *Instance[S]) error { return handle(ctx, p, e) },
			})
			return nil
		}))
	}
}

// OnTimeout handles the timeout of that name, when an instance has set it, has
// not cancelled it, and its time has come.
func OnTimeout[S any](name string, handle func(ctx context.Context, p *Instance[S]) error) Part[S] {
	return func(d *draft[S]) {
		if err := event.ValidateName("timeout", name); err != nil {
			d.refuse(err.Error())
		}
		if _, twice := d.timeouts[name]; twice {
			d.refuse(fmt.Sprintf("has two handlers for the timeout %q", name))
		}
		if handle == nil {
			d.refuse(fmt.Sprintf("handler of the timeout %q is nil", name))
		}
		d.timeouts[name] = handle
	}
}

// Apply says how one type of an instance's own events changes what it
// remembers, as [aggregate.On] does. f must depend on nothing but its arguments.
func Apply[S any, P event.Payload](f func(s *S, e event.Of[P])) Part[S] {
	return func(d *draft[S]) {
		if f == nil {
			d.refuse("has an Apply that is nil")
			return
		}
		name, err := nameOf[P]()
		if err != nil {
			d.refuse(err.Error())
			return
		}
		d.applied = append(d.applied, name)
		d.parts = append(d.parts, aggregate.On(func(r *record[S], e event.Of[P]) { f(&r.State, e) }))
	}
}

// Undo says how what one type of an instance's own events stands for is undone
// when the instance fails. It is called for each such event, the last first, and
// is tried again until it succeeds.
func Undo[S any, P event.Payload](f func(ctx context.Context, p *Instance[S], e event.Of[P]) error) Part[S] {
	return func(d *draft[S]) {
		if f == nil {
			d.refuse("has an Undo that is nil")
			return
		}
		name, err := nameOf[P]()
		if err != nil {
			d.refuse(err.Error())
			return
		}
		d.undone[name] = aggregate.On(func(*record[S], event.Of[P]) {})
		d.undoing = append(d.undoing, event.Handle(func(found *[]undo[S], e event.Of[P]) error {
			*found = append(*found, undo[S]{event: e.Event, run: func(ctx context.Context, p *Instance[S]) error { return f(ctx, p, e) }})
			return nil
		}))
	}
}

// Initial sets what an instance remembers before its first event. Without it,
// that is the zero value of S.
func Initial[S any](f func(id uuid.UUID) S) Part[S] {
	return func(d *draft[S]) {
		if f == nil {
			d.refuse("has an Initial that is nil")
			return
		}
		d.parts = append(d.parts, aggregate.Initial(func(id uuid.UUID) record[S] { return record[S]{State: f(id)} }))
	}
}

// OwnedBy says whose data an instance is, as [aggregate.OwnedBy] does.
func OwnedBy[S any](owner func(s S) string) Part[S] {
	return func(d *draft[S]) {
		if owner == nil {
			d.refuse("has an owner function that is nil")
			return
		}
		d.parts = append(d.parts, aggregate.OwnedBy(func(r record[S]) string { return owner(r.State) }))
	}
}

// Codec sets the codec of the events that are handled and of the instances'
// own. The default is [event.JSON].
func Codec[S any](codec event.Codec) Part[S] {
	return func(d *draft[S]) {
		d.codec = codec
		d.parts = append(d.parts, aggregate.Codec[record[S]](codec))
	}
}

// SnapshotVersion says which form S has, as [aggregate.SnapshotVersion] does.
func SnapshotVersion[S any](version int) Part[S] {
	return func(d *draft[S]) { d.parts = append(d.parts, aggregate.SnapshotVersion[record[S]](version)) }
}

// InLanes divides the instances among so many lanes to begin with, so that
// several are looked after at once, see [projection.Laned]; handlers are then
// called concurrently, for different instances. The default is 1.
func InLanes[S any](lanes int) Part[S] {
	return func(d *draft[S]) { d.lanes = lanes }
}

// StartAt says from where on events are handled when the process first runs.
// Without it, that is [projection.StartAtHead].
func StartAt[S any](start projection.Start) Part[S] {
	return func(d *draft[S]) { d.start = start }
}

// ActAs sets the actor of what a process does. Without it, that is
// [event.System] of its name.
func ActAs[S any](actor event.ActorID) Part[S] {
	return func(d *draft[S]) { d.actor = actor }
}

// refuse keeps the first contradiction that is found.
func (d *draft[S]) refuse(reason string) {
	if d.err == nil {
		d.err = &event.DefinitionError{Subject: d.name, Reason: reason}
	}
}

// complete joins the parts and checks what is left.
func (d *draft[S]) complete() {
	if err := event.ValidateName("name", d.name+marks); err != nil { // as it is used in checkpoints
		d.refuse(err.Error())
	}
	if d.version < 1 {
		d.refuse("version must be 1 or more")
	}
	if len(d.handled) == 0 {
		d.refuse("handles no events: add process.StartOn")
	}
	if d.err != nil {
		return
	}
	parts := append(evolution[S](), d.parts...)
	for name, nothing := range d.undone {
		if !slices.Contains(d.applied, name) {
			parts = append(parts, nothing)
		}
	}
	d.state = aggregate.Define(d.name, parts...)
	if d.err = d.state.Validate(); d.err != nil {
		return
	}
	if d.inputs, d.err = event.NewHandlers(d.codec, d.handled...); d.err != nil {
		return
	}
	if d.undos, d.err = event.NewHandlers(d.codec, d.undoing...); d.err != nil {
		return
	}
	d.err = d.reactor(nil, nil).Validate()
}

// nameOf asks the zero value of P for its name.
func nameOf[P event.Payload]() (name string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("EventType of the zero value of %T panics: %v", *new(P), v)
		}
	}()
	return (*new(P)).EventType(), nil
}

// Name returns the name of the process.
func (d *Definition[S]) Name() string { return d.name }

// Validate returns what is wrong with the definition, as an
// [*event.DefinitionError], or nil.
func (d *Definition[S]) Validate() error {
	if d == nil {
		return &event.DefinitionError{Subject: "process", Reason: "definition is nil; use process.Define"}
	}
	return d.err
}

// reactor returns the projection that feeds the process.
func (d *Definition[S]) reactor(react func(ctx context.Context, e event.Event) error, sequence func(e event.Event) string) *projection.Reactor {
	if react == nil {
		react = func(context.Context, event.Event) error { return nil } // to be validated only
	}
	return projection.NewReactor(d.name, d.version,
		projection.OnEvery(react, d.eventTypes()...),
		projection.SequenceBy(sequence),
		projection.InLanes(d.lanes),
		projection.StartAt(d.start),
		projection.ActAs(d.actor),
	)
}

// eventTypes are those that the process handles, and its own that it goes on by.
func (d *Definition[S]) eventTypes() []string {
	return append(d.inputs.Types(), TimeoutElapsed{}.EventType(), Failed{}.EventType())
}
