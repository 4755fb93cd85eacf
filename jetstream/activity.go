package jetstream

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Activity is the data of an ActivityRecorded v1 message: one record of the
// audit trail. Its JSON has the schema [ActivityRecordedSchema]; numbers of 64
// bits are text, and what is absent is left out.
//
// A thin message, the default, has the fields up to EventType, and of those no
// id that looks like an e-mail address. A full message has them all.
type Activity struct {
	ID            uuid.UUID      `json:"id"`
	TenantID      event.TenantID `json:"tenant_id,omitempty"`
	OccurredAt    time.Time      `json:"occurred_at"` // by the clock of whoever acted; not the order
	RecordedAt    time.Time      `json:"recorded_at,omitzero"`
	Position      uint64         `json:"position,omitempty,string"` // in the store's one order
	ActorID       event.ActorID  `json:"actor_id,omitempty"`
	OnBehalfOf    event.ActorID  `json:"on_behalf_of,omitempty"`
	OwnerID       string         `json:"owner_id,omitempty"`
	Action        string         `json:"action"`
	Entity        Entity         `json:"entity"`
	Outcome       audit.Outcome  `json:"outcome"`
	CorrelationID uuid.UUID      `json:"correlation_id,omitzero"`
	CausationID   uuid.UUID      `json:"causation_id,omitzero"`
	EventType     string         `json:"event_type,omitempty"` // of the domain event, if there is one

	Reason      string         `json:"reason,omitempty"`
	Purpose     string         `json:"purpose,omitempty"`
	Description string         `json:"description,omitempty"`
	Request     Request        `json:"request,omitzero"`
	Metadata    event.Metadata `json:"metadata,omitempty"`
	Reduced     []string       `json:"reduced,omitempty"` // fields that say less than the event does
}

// Entity is what an activity was about.
type Entity struct {
	Type    string `json:"type"`
	ID      string `json:"id,omitempty"`
	Version uint64 `json:"version,omitempty,string"`
}

// Request is where an activity came from.
type Request struct {
	ID            string `json:"id,omitempty"`
	Traceparent   string `json:"traceparent,omitempty"`
	SourceAddress string `json:"source_address,omitempty"`
	UserAgent     string `json:"user_agent,omitempty"`
}

// activityType is the end of the type of every ActivityRecorded v1.
const activityType = "audit.activity.recorded.v1"

// thin returns what everybody may read.
func thin(r audit.ActivityRecord) Activity {
	entity := r.Entity()
	return Activity{
		ID: r.ID(), TenantID: r.TenantID(), OccurredAt: r.OccurredAt(), RecordedAt: r.RecordedAt(), Position: r.Position(),
		ActorID: opaque(r.ActorID()), OnBehalfOf: opaque(r.OnBehalfOf()), OwnerID: opaque(r.OwnerID()),
		Action: r.Action(), Entity: Entity{Type: entity.Type, ID: opaque(entity.ID), Version: entity.Version}, Outcome: r.Outcome(),
		CorrelationID: r.CorrelationID(), CausationID: r.CausationID(), EventType: r.EventType(),
	}
}

// full returns everything that a record says.
func full(r audit.ActivityRecord) Activity {
	a := thin(r)
	a.ActorID, a.OnBehalfOf, a.OwnerID, a.Entity.ID = r.ActorID(), r.OnBehalfOf(), r.OwnerID(), r.Entity().ID
	a.Reason, a.Purpose, a.Description = r.Reason(), r.Purpose(), r.Description()
	a.Request, a.Metadata, a.Reduced = Request(r.Request()), r.Metadata(), r.Reduced()
	return a
}

// plainActivity is an Activity without its methods.
type plainActivity Activity

// activityJSON keeps the types of metadata: 1 is not 1.0.
type activityJSON struct {
	*plainActivity

	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (a Activity) MarshalJSON() ([]byte, error) {
	metadata, err := event.EncodeMetadata(a.Metadata)
	if err != nil {
		return nil, err // it names the key.
	}
	return encode(activityJSON{plainActivity: (*plainActivity)(&a), Metadata: metadata})
}

// UnmarshalJSON implements [json.Unmarshaler]. Unknown fields are ignored.
func (a *Activity) UnmarshalJSON(data []byte) error {
	*a = Activity{}
	in := activityJSON{plainActivity: (*plainActivity)(a)}
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("decode activity: %w", err)
	}
	metadata, err := event.DecodeMetadata(in.Metadata)
	a.Metadata = metadata
	return err // it says what was decoded.
}

// DecodeActivity returns the activity that a message is about. A message of
// another type, or of another major version, is an [*UnknownTypeError]; fields
// that a later minor version has added are ignored.
func DecodeActivity(c CloudEvent) (Activity, error) {
	if c.Type != activityType && !strings.HasSuffix(c.Type, "."+activityType) {
		return Activity{}, &UnknownTypeError{Type: shown(c.Type), Known: "…." + activityType}
	}
	var a Activity
	if err := json.Unmarshal(c.Data, &a); err != nil {
		return Activity{}, &event.DecodeError{Type: c.Type, SchemaVersion: 1, Err: err}
	}
	if a.ID == uuid.Nil || a.Action == "" || a.Entity.Type == "" {
		return Activity{}, &event.DecodeError{EventID: a.ID, Type: c.Type, SchemaVersion: 1, Position: a.Position, Err: event.ErrInvalid}
	}
	return a, nil
}

// activities turns events into messages about their records.
type activities struct{ config PublisherConfig }

func (m activities) message(e event.Event) (Message, bool, error) {
	r, err := audit.FromEvent(e, m.config.Record)
	if err != nil {
		return Message{}, false, err // it names the event.
	}
	c, err := m.cloudEvent(r)
	if err != nil {
		return Message{Order: orderOf(r)}, false, err // it names the field.
	}
	message, err := NewMessage(ActivitySubject(m.config.Prefix, r), c)
	message.Order = orderOf(r)
	return message, true, err
}

func (m activities) cloudEvent(r audit.ActivityRecord) (CloudEvent, error) {
	activity := thin(r)
	if m.config.Full {
		activity = full(r)
	}
	data, err := encode(activity)
	if err != nil {
		return CloudEvent{}, err
	}
	c := CloudEvent{
		ID: r.ID().String(), Source: m.source(r.TenantID()), Type: m.config.TypePrefix + "." + activityType,
		Subject: activity.Entity.Type, Time: r.OccurredAt(), DataSchema: m.config.SchemaURL, Data: data,
		Extensions: extensions(r.TenantID(), r.ActorID(), r.CorrelationID(), r.CausationID(), r.Position(), r.RecordedAt()),
	}
	if id := activity.Entity.ID; id != "" {
		c.Subject += "/" + id
	}
	if trace := r.Request().Traceparent; isTraceparent(trace) {
		c.Extensions[ExtensionTraceparent] = trace
	}
	return c, nil
}

// source is that of a tenant, so that two tenants' records are never taken for one.
func (m activities) source(tenant event.TenantID) string {
	if tenant == "" {
		return m.config.Source
	}
	return m.config.Source + "/" + Token(string(tenant))
}
