package event

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
)

// Payload is what happened, as a plain value. EventType names it in storage:
// it must not depend on the value, and must never change for stored events.
type Payload interface {
	EventType() string
}

// Event is a payload's bytes and everything around them. It is a value: copies
// are independent, but Data and Metadata of an event that was read are shared
// and must not be modified.
//
// Times are in UTC with microsecond precision. A field's zero value means that
// it is absent.
type Event struct {
	ID            uuid.UUID // unique for ever; makes a repeated append harmless
	Type          string    // [Payload.EventType]
	SchemaVersion int       // of the payload, from 1; see [Upcaster]

	AggregateType    string
	AggregateID      uuid.UUID
	AggregateVersion uint64 // 1, 2, 3 … within the aggregate; set by the store

	TenantID      TenantID
	ActorID       ActorID
	CorrelationID uuid.UUID // shared by all that followed from one action
	CausationID   uuid.UUID // the event that led to this one
	OccurredAt    time.Time // the writer's clock; never used for order
	RecordedAt    time.Time // the store's clock
	Metadata      Metadata

	Position uint64 // place in the store's one order of all events; set by the store
	Data     []byte // the payload, exactly as the codec wrote it
}

// Of is an event with its payload decoded.
type Of[P Payload] struct {
	Event
	Payload P
}

// New returns an event for payload that is stamped with what ctx carries: a
// new id, the time now, actor, tenant, correlation, causation and metadata. A
// chain of actions that starts here is named after the event itself. The
// payload is encoded as JSON; [NewWith] takes another codec.
//
// Aggregates do this on their own; New is for events that no aggregate emits.
func New(ctx context.Context, payload Payload) (Event, error) {
	return NewWith(ctx, JSON{}, time.Now(), payload)
}

// NewWith is [New] with the codec and the time given; a nil codec is [JSON].
func NewWith(ctx context.Context, codec Codec, now time.Time, payload Payload) (e Event, err error) {
	defer func() {
		if v := recover(); v != nil {
			e, err = Event{}, &EncodeError{Type: fmt.Sprintf("%T", payload), Err: fmt.Errorf("panic: %v", v)}
		}
	}()
	if codec == nil {
		codec = JSON{}
	}
	if payload == nil {
		return Event{}, &InvalidError{Field: "payload", Reason: "must not be nil"}
	}
	version, err := SchemaVersion(payload)
	if err != nil {
		return Event{}, err
	}
	data, err := codec.Encode(payload)
	if err != nil {
		return Event{}, &EncodeError{Type: payload.EventType(), Err: err}
	}
	e = Stamp(OriginFrom(ctx), now, payload.EventType(), version)
	e.Data = data
	return e, nil
}

// Stamp returns an event of the given type with a new id and everything that
// origin says, without payload and without place in a stream.
func Stamp(origin Origin, now time.Time, eventType string, schemaVersion int) Event {
	var e Event
	StampInto(&e, &origin, now, eventType, schemaVersion)
	return e
}

// StampInto is [Stamp] for an event that has its place in memory already: it
// sets the same fields, and leaves the others.
func StampInto(e *Event, origin *Origin, now time.Time, eventType string, schemaVersion int) {
	e.ID, e.Type, e.SchemaVersion = NewIDAt(now), eventType, schemaVersion
	e.TenantID, e.ActorID = origin.TenantID, origin.ActorID
	e.CorrelationID, e.CausationID = origin.CorrelationID, origin.CausationID
	e.OccurredAt, e.Metadata = Time(now), origin.Metadata
	if e.CorrelationID == uuid.Nil {
		e.CorrelationID = e.ID
	}
}

// Time returns t as stores keep it: UTC, in microseconds, without a monotonic reading.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// WithMetadata returns a copy of e with m added; for equal keys m wins.
func (e Event) WithMetadata(m Metadata) Event {
	merged := make(Metadata, len(e.Metadata)+len(m))
	maps.Copy(merged, e.Metadata)
	maps.Copy(merged, m)
	e.Metadata = merged
	return e
}

// CausedBy returns a copy of e that belongs to the chain of cause: it shares
// the correlation, and its causation is the id of cause.
func (e Event) CausedBy(cause Event) Event {
	e.CorrelationID = cause.CorrelationID
	e.CausationID = cause.ID
	return e
}

// Validate checks everything that does not depend on a store: names, actor,
// tenant, ids, times and schema version. Metadata and payload are checked when
// they are encoded. The error names the field.
func (e *Event) Validate() error {
	if e.ID == uuid.Nil {
		return &InvalidError{Field: "event_id", Reason: "must be set; event.New and aggregates do"}
	}
	if err := ValidateName("event_type", e.Type); err != nil {
		return err
	}
	if e.SchemaVersion < 1 {
		return &InvalidError{Field: "schema_version", Reason: "must be 1 or more"}
	}
	if err := e.TenantID.Validate(); err != nil {
		return err
	}
	if err := e.ActorID.Validate(); err != nil {
		return err
	}
	return validateTime("occurred_at", e.OccurredAt)
}

// validateTime keeps times within what every store can hold in microseconds
// and what RFC 3339 can write.
func validateTime(field string, t time.Time) error {
	if t.IsZero() {
		return &InvalidError{Field: field, Reason: "must be set; event.New and aggregates do"}
	}
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return &InvalidError{Field: field, Value: t.Format(time.RFC3339), Reason: "is outside the years 1 to 9999"}
	}
	return nil
}
