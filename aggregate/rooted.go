package aggregate

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Root is any aggregate, whatever its state: a pointer to a struct that embeds
// [AggregateRoot].
type Root interface {
	ID() uuid.UUID
	Version() uint64
	SavedVersion() uint64
	Position() uint64
	Pending() []event.Event

	at() *place
	check() error
	stream(tenant event.TenantID) eventstore.Stream
	unsaved() bool
	companions() []joined
	calling() *call
	outgoing(stream eventstore.Stream) []eventstore.Append
	failed()
	committed(stream eventstore.Stream, position uint64)
	replay(e *event.Event) error
	reset()
	remember() (state any, ok bool)
	resume(state any) bool
	freeze() frozen
	thaw(schemaVersion int, state []byte) error
}

// Rooted is the constraint that an aggregate type A with state S meets by
// embedding [AggregateRoot]. It is inferred; nobody has to write it.
type Rooted[A, S any] interface {
	*A
	Root
	bind(definition *Definition[S], home *home, id uuid.UUID)
}

func (r *AggregateRoot[S]) bind(definition *Definition[S], h *home, id uuid.UUID) {
	r.definition, r.home, r.id = definition, h, id
	r.state = definition.zero(id)
}

// check reports whether the aggregate can be used.
func (r *AggregateRoot[S]) check() error {
	if r.definition == nil {
		return ErrUnbound
	}
	return r.definition.err
}

func (r *AggregateRoot[S]) stream(tenant event.TenantID) eventstore.Stream {
	return eventstore.Stream{TenantID: tenant, AggregateType: r.definition.aggregateType, AggregateID: r.id}
}

// outgoing returns what has to be appended. Without pending events that is the
// expectation that nothing has changed.
func (r *AggregateRoot[S]) outgoing(stream eventstore.Stream) []eventstore.Append {
	if r.unit == nil {
		return []eventstore.Append{{Stream: stream, Expected: eventstore.Exact(r.saved)}}
	}
	return r.unit.appends(stream, r.saved)
}

// failed keeps the pending events for another save.
func (r *AggregateRoot[S]) failed() {
	if r.unit != nil {
		r.unit.shared = true
	}
}

// committed forgets the pending events: they are stored.
func (r *AggregateRoot[S]) committed(stream eventstore.Stream, position uint64) {
	if n := len(r.unit.events); n > 0 {
		r.tenant, r.saved, r.last, r.position = stream.TenantID, r.Version(), r.unit.events[n-1].ID, position
	}
	r.definition.release(r.unit)
	r.unit = nil
}

// replay evolves the state by a stored event.
func (r *AggregateRoot[S]) replay(e *event.Event) (err error) {
	defer r.rescue(e, &err)
	d := r.definition
	if current, ok := d.routes[e.Type]; ok && current.version == e.SchemaVersion {
		return r.replayError(e, current.replay(&r.state, e, d.codec))
	}
	handled, err := d.handlers.Handle(&r.state, *e)
	if !handled && !d.tolerant {
		return &UnknownEventError{
			AggregateType: d.aggregateType, AggregateID: r.id,
			EventType: e.Type, EventID: e.ID, Version: e.AggregateVersion,
		}
	}
	return r.replayError(e, err)
}

// replayError tells bytes that do not decode from handlers that fail.
func (r *AggregateRoot[S]) replayError(e *event.Event, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*event.DecodeError](err); ok {
		return err
	}
	return r.applyError(e, err)
}

// reset makes the aggregate one without events again.
func (r *AggregateRoot[S]) reset() {
	r.place = place{home: r.home, id: r.id, call: r.call}
	r.state, r.unit = r.definition.zero(r.id), nil
}

// remember returns a copy of the state for the cache, or its encoded form if
// there is no other way to copy it, or reports that it cannot be copied.
func (r *AggregateRoot[S]) remember() (state any, ok bool) {
	defer func() {
		if recover() != nil { // a Clone that panics: the state is not remembered
			state, ok = nil, false
		}
	}()
	if s, ok := r.definition.copier.independent(&r.state); ok {
		return s, true
	}
	data, err := r.definition.encodeState(&r.state)
	return data, err == nil
}

// resume sets the state to a copy of what remember returned.
func (r *AggregateRoot[S]) resume(state any) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if data, ok := state.([]byte); ok && !r.definition.copier.copies() {
		s, err := r.definition.decodeState(data)
		r.state = s
		return err == nil
	}
	s, ok := state.(S)
	if ok {
		r.state, _ = r.definition.copier.independent(&s)
	}
	return ok
}

// isNil reports whether a root is nil or a nil pointer.
func isNil(root Root) bool {
	if root == nil {
		return true
	}
	v := reflect.ValueOf(root)
	return v.Kind() != reflect.Pointer || v.IsNil()
}

// frozen is a state at one moment, to be encoded later.
type frozen struct {
	schemaVersion int
	encode        func() ([]byte, error)
}

// freeze takes the state as it is now. A state that cannot be copied is
// encoded at once.
func (r *AggregateRoot[S]) freeze() (f frozen) {
	d := r.definition
	defer func() {
		if v := recover(); v != nil {
			f = frozen{d.snapshotVersion, func() ([]byte, error) { return nil, caught(v) }}
		}
	}()
	if s, ok := d.copier.independent(&r.state); ok {
		return frozen{d.snapshotVersion, func() ([]byte, error) { return d.encodeState(&s) }}
	}
	data, err := d.encodeState(&r.state)
	return frozen{d.snapshotVersion, func() ([]byte, error) { return data, err }}
}

// errStale says that a snapshot has another schema version than the definition.
var errStale = errors.New("snapshot has another schema version")

// thaw sets the state to the one that a snapshot holds.
func (r *AggregateRoot[S]) thaw(schemaVersion int, state []byte) error {
	if schemaVersion != r.definition.snapshotVersion {
		return errStale
	}
	s, err := r.definition.decodeState(state)
	if err != nil {
		return err
	}
	r.state = s
	return nil
}

// target returns the stream that a root is saved to.
func (h *home) target(ctx context.Context, root Root) (eventstore.Stream, error) {
	tenant := h.tenantOr(ctx, event.TenantFrom(ctx))
	if err := root.at().settleTenant(tenant); err != nil {
		return eventstore.Stream{}, fmt.Errorf("save aggregate: %w", err)
	}
	return root.stream(tenant), nil
}
