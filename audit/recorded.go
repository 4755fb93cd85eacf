package audit

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Names of what [Log.Append] stores: an event of this type in a stream of this
// type is an explicit activity. Do not give an aggregate the type.
const (
	// ActivityStream is the aggregate type of streams of explicit activities.
	ActivityStream = "Activity"
	// RecordedType is the type of the event that an explicit activity is.
	RecordedType = "ActivityRecorded"
)

// ActivityRecorded is the payload of the event that an explicit activity is
// stored as. What an event has anyway is not in it: the id, tenant, actor,
// time, correlation, causation and metadata of the record are the event's.
type ActivityRecorded struct {
	Action      string          `json:"action"`
	Entity      RecordedEntity  `json:"entity"`
	Outcome     Outcome         `json:"outcome"`
	OwnerID     string          `json:"owner_id,omitempty"`
	OnBehalfOf  event.ActorID   `json:"on_behalf_of,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	Purpose     string          `json:"purpose,omitempty"`
	Description string          `json:"description,omitempty"`
	Request     RecordedRequest `json:"request,omitzero"`
}

// RecordedEntity is an [EntityRef] as it is stored.
type RecordedEntity struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Version uint64 `json:"version,omitempty,string"`
}

// RecordedRequest is a [Request] as it is stored.
type RecordedRequest struct {
	ID            string `json:"id,omitempty"`
	Traceparent   string `json:"traceparent,omitempty"`
	SourceAddress string `json:"source_address,omitempty"`
	UserAgent     string `json:"user_agent,omitempty"`
}

// EventType implements [event.Payload].
func (ActivityRecorded) EventType() string { return RecordedType }

// activityEvent returns the event that stores a record.
func activityEvent(r ActivityRecord) (event.Event, error) {
	d := &r.d
	payload := ActivityRecorded{
		Action: d.Action, Entity: RecordedEntity(d.Entity), Outcome: d.Outcome, OwnerID: d.OwnerID, OnBehalfOf: d.OnBehalfOf,
		Reason: d.Reason, Purpose: d.Purpose, Description: d.Description, Request: RecordedRequest(d.Request),
	}
	data, err := event.JSON{}.Encode(payload)
	if err != nil {
		return event.Event{}, fmt.Errorf("encode activity record %s: %w", d.ID, err)
	}
	return event.Event{
		ID: d.ID, Type: RecordedType, SchemaVersion: 1,
		TenantID: d.TenantID, ActorID: d.ActorID, OccurredAt: d.OccurredAt,
		CorrelationID: d.CorrelationID, CausationID: d.CausationID, Metadata: d.Metadata,
		Data: data,
	}, nil
}

// activityStream is where an append of records goes: a stream of its own,
// named after the first. So appends never wait for each other, and the same
// ids sent again meet what they stored.
func activityStream(tenant event.TenantID, first uuid.UUID) eventstore.Stream {
	return eventstore.Stream{TenantID: tenant, AggregateType: ActivityStream, AggregateID: first}
}

// appended returns the record that an event stores, and whether it stores one:
// what somebody else wrote under the same names is an event like any other.
func appended(e event.Event) (record ActivityRecord, ok bool) {
	if e.Type != RecordedType || e.AggregateType != ActivityStream {
		return ActivityRecord{}, false
	}
	var p ActivityRecorded
	if err := (event.JSON{}).Decode(e.Data, &p); err != nil {
		return ActivityRecord{}, false
	}
	record, err := NewRecord(Draft{
		ID: e.ID, TenantID: e.TenantID, OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, Position: e.Position,
		ActorID: e.ActorID, OnBehalfOf: p.OnBehalfOf, OwnerID: p.OwnerID,
		Action: p.Action, Entity: EntityRef(p.Entity), Outcome: p.Outcome, Reason: p.Reason, Purpose: p.Purpose, Description: p.Description,
		Request: Request(p.Request), CorrelationID: e.CorrelationID, CausationID: e.CausationID, Metadata: e.Metadata,
	})
	return record, err == nil
}
