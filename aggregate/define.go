package aggregate

import (
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Definition says what an aggregate is: its type's name in storage and how
// each event changes its state. It is made by [Define], immutable, and safe for
// concurrent use.
type Definition[S any] struct {
	aggregateType   string
	routes          map[string]*route[S]              // current events, by name
	handlers        *event.Handlers[*S]               // older forms of them
	decoders        *event.Handlers[*[]event.Payload] // for Decode
	codec           event.Codec
	copier          copier[S]
	initial         func(uuid.UUID) S
	owner           func(S) string
	snapshotVersion int
	tolerant        bool
	units           sync.Pool // of *unit[S]
	err             error
}

// Part is one part of a definition: a handler made by [On], [OnErr] or
// [Evolve], or one of [Initial], [OwnedBy], [Codec], [SnapshotVersion] and
// [TolerateUnknown].
type Part[S any] func(*draft[S])

// draft is a definition whose handlers have not been joined to tables yet.
type draft[S any] struct {
	*Definition[S]

	named    []named[S]
	current  []event.Handler[*S]
	payloads []event.Handler[*[]event.Payload]
}

// Define returns the definition of the aggregates that are stored under
// aggregateType. The name must never change for stored aggregates.
//
// It can be called for a package-level variable: a definition that contradicts
// itself is kept, and every use of it fails with the same
// [*event.DefinitionError]. Call [Definition.Validate] in a test.
func Define[S any](aggregateType string, parts ...Part[S]) *Definition[S] {
	d := &draft[S]{Definition: &Definition[S]{
		aggregateType:   aggregateType,
		codec:           event.JSON{},
		copier:          copierOf[S](),
		snapshotVersion: 1,
	}}
	for _, part := range parts {
		if part == nil {
			d.fail("has a part that is nil")
			continue
		}
		part(d)
	}
	d.complete()
	return d.Definition
}

// Initial sets the state that an aggregate has before its first event.
// Without it, it is the zero value of S.
func Initial[S any](f func(id uuid.UUID) S) Part[S] {
	return func(d *draft[S]) { d.initial = f }
}

// OwnedBy says whose data an aggregate is, for example "user:alice". Each event
// is stamped with it under the metadata key [event.KeyOwner], from which the
// audit log takes a record's owner. It is asked for the state after the event
// and, if that has no owner, for the one before: who deletes an aggregate does
// something to its last owner's data. It replaces what the context says under
// the key, unless it is "", which is nobody.
func OwnedBy[S any](owner func(state S) string) Part[S] {
	return func(d *draft[S]) {
		if owner == nil {
			d.fail("has an owner function that is nil")
			return
		}
		d.owner = owner
	}
}

// Codec sets the codec for payloads and for snapshots of the state. The
// default is [event.JSON].
func Codec[S any](codec event.Codec) Part[S] {
	return func(d *draft[S]) {
		if codec == nil {
			d.fail("has a codec that is nil")
			return
		}
		d.codec = codec
	}
}

// SnapshotVersion says which form the state has. Raise it whenever S or a
// handler changes so that states written before are no longer right: older
// snapshots are then passed over. The default is 1.
func SnapshotVersion[S any](version int) Part[S] {
	return func(d *draft[S]) {
		if version < 1 {
			d.fail("has a snapshot version below 1")
			return
		}
		d.snapshotVersion = version
	}
}

// TolerateUnknown passes over stored events that have no handler, instead of
// failing with an [*UnknownEventError]. Emitting such an event is an error all
// the same.
func TolerateUnknown[S any]() Part[S] {
	return func(d *draft[S]) { d.tolerant = true }
}

// fail keeps the first contradiction that is found.
func (d *draft[S]) fail(reason string) {
	if d.err == nil {
		d.err = &event.DefinitionError{Subject: d.aggregateType, Reason: reason}
	}
}

// complete joins the handlers to tables and checks what is left.
func (d *draft[S]) complete() {
	if err := event.ValidateName("aggregate_type", d.aggregateType); err != nil {
		d.fail(err.Error())
	}
	if len(d.current) == 0 {
		d.fail("has no handlers: add aggregate.On for each event")
	}
	if d.err != nil {
		return
	}
	if d.handlers, d.err = event.NewHandlers(d.codec, d.current...); d.err != nil {
		return
	}
	if d.decoders, d.err = event.NewHandlers(d.codec, d.payloads...); d.err != nil {
		return
	}
	d.routes = make(map[string]*route[S], len(d.named))
	for _, n := range d.named {
		name := n.name()
		n.route.name = name
		n.route.version, _ = d.handlers.SchemaVersion(name)
		d.routes[name] = &n.route
	}
}

// Type returns the name under which the aggregates are stored.
func (d *Definition[S]) Type() string { return d.aggregateType }

// Codec returns the codec of payloads and snapshots.
func (d *Definition[S]) Codec() event.Codec { return d.codec }

// Validate returns what is wrong with the definition, as an
// [*event.DefinitionError], or nil.
func (d *Definition[S]) Validate() error {
	if d == nil {
		return &event.DefinitionError{Subject: "aggregate", Reason: "definition is nil; use aggregate.Define"}
	}
	return d.err
}

// EventTypes returns the names of all events that have a handler, older names
// included, sorted.
func (d *Definition[S]) EventTypes() []string {
	if d.Validate() != nil {
		return nil
	}
	return d.handlers.Types()
}

// Decode returns the payloads of a stored event in their current form: one, or
// as many as an upcast splits it into. Errors are [*event.DecodeError] and
// [*UnknownEventError].
func (d *Definition[S]) Decode(e event.Event) ([]event.Payload, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	var payloads []event.Payload
	handled, err := d.decoders.Handle(&payloads, e)
	if err == nil && !handled {
		err = &UnknownEventError{
			AggregateType: d.aggregateType, AggregateID: e.AggregateID,
			EventType: e.Type, EventID: e.ID, Version: e.AggregateVersion,
		}
	}
	return payloads, err
}

// zero returns the state before the first event.
func (d *Definition[S]) zero(id uuid.UUID) S {
	if d != nil && d.initial != nil {
		return d.initial(id)
	}
	var s S
	return s
}
