package audit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// ActivityRecord says who did what to which thing, when, on whose behalf and
// how it ended. It cannot be changed: it has no exported field and no setter,
// and what it hands out are copies. It is made by [NewRecord] and [FromEvent].
//
// The zero value is what a sequence yields beside an error; it says nothing.
type ActivityRecord struct{ d Draft }

// Draft is what a record is made of.
type Draft struct {
	ID         uuid.UUID // unique for ever; makes a repeated append harmless. Default: a new one
	TenantID   event.TenantID
	OccurredAt time.Time // claimed by whoever acted; never used for order. Default: the time in ID
	RecordedAt time.Time // the store's clock; zero until the record is stored
	Position   uint64    // place in the store's one order; 0 until the record is stored

	ActorID    event.ActorID // Default: [event.Anonymous]
	OnBehalfOf event.ActorID // "" if the actor acted for itself
	OwnerID    string        // whose data it is; "" if nobody's

	Action      string // for example "create_task" or "document.update"; see [ValidateAction]
	Entity      EntityRef
	Outcome     Outcome // Default: [Success]
	Reason      string  // why it ended so
	Purpose     string  // what it was done for
	Description string  // one sentence for people

	Request       Request
	CorrelationID uuid.UUID // shared by all that followed from one action
	CausationID   uuid.UUID // the event or record that led to this one
	Metadata      event.Metadata

	Origin  Origin   // the event that the record is derived from; zero if none
	Reduced []string // fields that say less than the event does, because of a limit
}

// Request is where an activity came from, as far as it was a request.
type Request struct {
	ID            string
	Traceparent   string // W3C trace context
	SourceAddress string
	UserAgent     string
}

// Origin is the event that a record is derived from.
type Origin struct {
	EventID   uuid.UUID
	EventType string
	Stream    eventstore.Stream
	Version   uint64 // within the stream
	Position  uint64
}

// IsZero reports whether the record is not derived from an event.
func (o Origin) IsZero() bool { return o == Origin{} }

// NewRecord returns a record of what a draft says, with its defaults filled
// in, metadata normalised to the types that storage keeps, and times in
// microseconds. The error, an [*event.InvalidError] or [*event.TooLargeError],
// names the field at fault.
func NewRecord(draft Draft) (ActivityRecord, error) {
	d := draft.withDefaults()
	if err := d.validate(); err != nil {
		return ActivityRecord{}, fmt.Errorf("activity record: %w", err)
	}
	metadata, err := scalars(d.Metadata)
	if err != nil {
		return ActivityRecord{}, fmt.Errorf("activity record: %w", err)
	}
	d.Metadata, d.Reduced = metadata, slices.Clone(d.Reduced)
	return ActivityRecord{d: d}, nil
}

// Restore returns a record as a home has stored it, without checking it
// again. It is for those who write homes.
func Restore(stored Draft) ActivityRecord { return ActivityRecord{d: stored.clone()} }

func (d Draft) withDefaults() Draft {
	if d.ID == uuid.Nil {
		d.ID = event.NewID()
	}
	if d.OccurredAt.IsZero() && d.ID.Version() == 7 {
		d.OccurredAt = time.Unix(d.ID.Time().UnixTime())
	}
	if d.ActorID == "" {
		d.ActorID = event.Anonymous
	}
	if d.Outcome == "" {
		d.Outcome = Success
	}
	d.OccurredAt = event.Time(d.OccurredAt)
	d.RecordedAt = event.Time(d.RecordedAt)
	return d
}

func (d Draft) clone() Draft {
	d.Metadata, d.Reduced = maps.Clone(d.Metadata), slices.Clone(d.Reduced)
	return d
}

// Draft returns a copy of everything that the record says.
func (r ActivityRecord) Draft() Draft { return r.d.clone() }

// ID is unique for ever. Of a derived record it is the event's.
func (r ActivityRecord) ID() uuid.UUID { return r.d.ID }

// TenantID is the tenant that the record belongs to, "" for none.
func (r ActivityRecord) TenantID() event.TenantID { return r.d.TenantID }

// OccurredAt is when it happened, by the clock of whoever acted.
func (r ActivityRecord) OccurredAt() time.Time { return r.d.OccurredAt }

// RecordedAt is when it was stored, by the store's clock.
func (r ActivityRecord) RecordedAt() time.Time { return r.d.RecordedAt }

// Position is the record's place in the store's one order, and the cursor of
// [Page].
func (r ActivityRecord) Position() uint64 { return r.d.Position }

// ActorID is who acted. Whoever was not named is [event.Anonymous].
func (r ActivityRecord) ActorID() event.ActorID { return r.d.ActorID }

// OnBehalfOf is for whom the actor acted, "" if for itself.
func (r ActivityRecord) OnBehalfOf() event.ActorID { return r.d.OnBehalfOf }

// OwnerID is whose data it is, "" if nobody's.
func (r ActivityRecord) OwnerID() string { return r.d.OwnerID }

// Action is what was done, for example "document.created".
func (r ActivityRecord) Action() string { return r.d.Action }

// Entity is what it was done to.
func (r ActivityRecord) Entity() EntityRef { return r.d.Entity }

// Outcome is how it ended.
func (r ActivityRecord) Outcome() Outcome { return r.d.Outcome }

// Reason is why it ended so, "" if not said.
func (r ActivityRecord) Reason() string { return r.d.Reason }

// Purpose is what it was done for, "" if not said.
func (r ActivityRecord) Purpose() string { return r.d.Purpose }

// Description is the record in one sentence.
func (r ActivityRecord) Description() string { return r.d.Description }

// Request is where it came from.
func (r ActivityRecord) Request() Request { return r.d.Request }

// CorrelationID is shared by all that followed from one action.
func (r ActivityRecord) CorrelationID() uuid.UUID { return r.d.CorrelationID }

// CausationID is the event or record that led to this one, [uuid.Nil] if none.
func (r ActivityRecord) CausationID() uuid.UUID { return r.d.CausationID }

// Metadata returns a copy of what else is known.
func (r ActivityRecord) Metadata() event.Metadata { return maps.Clone(r.d.Metadata) }

// Origin is the event that the record is derived from, zero if none.
func (r ActivityRecord) Origin() Origin { return r.d.Origin }

// EventType is the type of the event that the record is derived from, "" if none.
func (r ActivityRecord) EventType() string { return r.d.Origin.EventType }

// Reduced names the fields that say less than the event does, because of a
// limit, for example "metadata.sql"; sorted.
func (r ActivityRecord) Reduced() []string { return slices.Clone(r.d.Reduced) }

// String returns the position and the description, or what stands for it.
func (r ActivityRecord) String() string {
	text := r.d.Description
	if text == "" {
		text = fmt.Sprintf("%s %s %s", r.d.ActorID, r.d.Action, r.d.Entity)
	}
	return fmt.Sprintf("#%d %s", r.d.Position, text)
}
