package aggregate

import (
	"cmp"
	"context"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// AggregateRoot is embedded by an application's aggregates: it holds their
// state, evolves it, and keeps what they emitted until it is saved.
//
// [New] and repositories make aggregates; the zero value can be read but not
// emit. An aggregate belongs to one goroutine at a time.
type AggregateRoot[S any] struct {
	place

	definition *Definition[S]
	state      S
	unit       *unit[S] // nil if nothing is pending
}

// New returns an aggregate without events that belongs to no repository. Any
// repository of its type can save it, and so can [SaveAll].
func New[A, S any, P Rooted[A, S]](definition *Definition[S], id uuid.UUID) *A {
	a := new(A)
	P(a).bind(definition, nil, id)
	return a
}

// Version returns how many events the aggregate has, pending ones included. It
// is 0 for an aggregate that does not exist yet.
func (r *AggregateRoot[S]) Version() uint64 {
	if r.unit == nil {
		return r.saved
	}
	return r.saved + uint64(len(r.unit.events))
}

// State returns the state, pending events included. Maps and slices in it are
// the aggregate's own: do not modify them.
func (r *AggregateRoot[S]) State() S { return r.state }

// Pending returns a copy of the events that are not saved yet, oldest first.
func (r *AggregateRoot[S]) Pending() []event.Event {
	if r.unit == nil {
		return nil
	}
	return append([]event.Event(nil), r.unit.events...)
}

// Emit records that something happened: it stamps events with what ctx
// carries, evolves the state, and keeps them until they are saved. All
// payloads are taken or none: after an error nothing new is pending, the state
// is as before (see [Cloner]), and the aggregate can be used on.
//
// Events of one unsaved unit whose contexts name no correlation share one, the
// id of the first of them. Payloads may be given as values or as pointers. Ids
// of events that are part of an [event.Reaction] follow from it.
//
// Errors: [ErrUnbound], [*event.DefinitionError], [*event.InvalidError] for a
// nil payload, [*UnknownEventError] for a payload without handler,
// [*event.EncodeError], [*ApplyError] and, for a context of another tenant than
// the aggregate's, [*eventstore.TenantError].
func (r *AggregateRoot[S]) Emit(ctx context.Context, payloads ...event.Payload) error {
	if err := r.check(); err != nil {
		return err
	}
	origin := event.OriginFrom(ctx)
	origin.TenantID = r.home.tenantOr(ctx, origin.TenantID)
	if origin.TenantID == "" {
		origin.TenantID = r.tenant
	}
	if err := r.settleTenant(origin.TenantID); err != nil {
		return err
	}
	if r.unit == nil {
		r.unit = r.definition.open()
	}
	if r.call != nil || origin.Reaction != nil {
		r.unit.join(r.call, &origin, r.stream(origin.TenantID))
	}
	mark, correlation := len(r.unit.events), r.unit.correlation
	err := r.emitAll(&origin, r.home.clock(), payloads)
	if err != nil {
		r.unit.cut(mark, correlation)
	}
	return err
}

// emitAll works on a copy of the state, which becomes the state at the end.
func (r *AggregateRoot[S]) emitAll(origin *event.Origin, now time.Time, payloads []event.Payload) (err error) {
	var e *event.Event
	defer func() {
		if v := recover(); v != nil {
			err = r.applyError(e, caught(v))
		}
	}()
	r.unit.scratch = r.definition.copier.working(&r.state)
	for _, p := range payloads {
		route, data, err := r.encode(p)
		if err != nil {
			return err
		}
		e = r.stamp(origin, now, route, data)
		before := r.definition.ownerOf(&r.unit.scratch)
		if err := route.emit(&r.unit.scratch, e, p); err != nil {
			return r.applyError(e, err)
		}
		own(e, cmp.Or(r.definition.ownerOf(&r.unit.scratch), before))
	}
	r.state = r.unit.scratch
	return nil
}

// ownerOf returns whose data a state is, "" if nobody's or if nobody says.
func (d *Definition[S]) ownerOf(state *S) string {
	if d.owner == nil {
		return ""
	}
	return d.owner(*state)
}

// own says in an event's metadata, which others share, whose data it is about.
func own(e *event.Event, owner string) {
	if owner == "" {
		return
	}
	*e = e.WithMetadata(event.Metadata{event.KeyOwner: owner})
}

// encode finds the payload's route and turns it into bytes, once and for all.
func (r *AggregateRoot[S]) encode(p event.Payload) (found *route[S], data []byte, err error) {
	if p == nil {
		return nil, nil, &event.InvalidError{Field: "payload", Reason: "must not be nil"}
	}
	name := ""
	defer func() {
		if v := recover(); v != nil {
			err = &event.EncodeError{Type: name, Err: caught(v)}
		}
	}()
	name = p.EventType()
	found, ok := r.definition.routes[name]
	if !ok {
		return nil, nil, &UnknownEventError{AggregateType: r.definition.aggregateType, AggregateID: r.id, EventType: name, Version: r.Version() + 1}
	}
	if data, err = r.definition.codec.Encode(p); err != nil {
		return nil, nil, &event.EncodeError{Type: name, Err: err}
	}
	return found, data, nil
}

// stamp adds an event to the unsaved ones.
func (r *AggregateRoot[S]) stamp(origin *event.Origin, now time.Time, route *route[S], data []byte) *event.Event {
	u := r.unit
	e := u.next()
	event.StampInto(e, origin, now, route.name, route.version)
	e.AggregateType, e.AggregateID, e.AggregateVersion = r.definition.aggregateType, r.id, r.Version()
	e.Data = data
	if u.call != nil {
		e.ID = u.call.id(len(u.events) - 1)
	}
	if origin.CorrelationID != uuid.Nil {
		return e
	}
	if u.correlation == uuid.Nil {
		u.correlation = e.ID
	}
	e.CorrelationID = u.correlation
	return e
}

// rescue turns a panic of an application's function into an error.
func (r *AggregateRoot[S]) rescue(e *event.Event, err *error) {
	if v := recover(); v != nil {
		*err = r.applyError(e, caught(v))
	}
}

func (r *AggregateRoot[S]) applyError(e *event.Event, err error) error {
	failure := &ApplyError{AggregateType: r.definition.aggregateType, AggregateID: r.id, Version: r.Version(), Err: err}
	if e != nil {
		failure.EventType, failure.Version = e.Type, e.AggregateVersion
	}
	return failure
}

func caught(v any) error { return &PanicError{Value: v, Stack: debug.Stack()} }
