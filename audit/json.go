package audit

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// recordJSON is a record as JSON. Numbers of 64 bits are text, since many
// readers of JSON hold 53 bits at the most; what is absent is left out.
type recordJSON struct {
	ID            string         `json:"id"`
	TenantID      event.TenantID `json:"tenant_id,omitempty"`
	OccurredAt    time.Time      `json:"occurred_at"`
	RecordedAt    time.Time      `json:"recorded_at,omitzero"`
	Position      uint64         `json:"position,omitempty,string"`
	ActorID       event.ActorID  `json:"actor_id"`
	OnBehalfOf    event.ActorID  `json:"on_behalf_of,omitempty"`
	OwnerID       string         `json:"owner_id,omitempty"`
	Action        string         `json:"action"`
	Entity        entityJSON     `json:"entity"`
	Outcome       Outcome        `json:"outcome"`
	Reason        string         `json:"reason,omitempty"`
	Purpose       string         `json:"purpose,omitempty"`
	Description   string         `json:"description,omitempty"`
	Request       requestJSON    `json:"request,omitzero"`
	CorrelationID string         `json:"correlation_id,omitempty"`
	CausationID   string         `json:"causation_id,omitempty"`
	Metadata      event.Metadata `json:"metadata,omitempty"`
	Origin        *originJSON    `json:"origin,omitempty"`
	Reduced       []string       `json:"reduced,omitempty"`
}

type entityJSON struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Version uint64 `json:"version,omitempty,string"`
}

type requestJSON struct {
	ID            string `json:"id,omitempty"`
	Traceparent   string `json:"traceparent,omitempty"`
	SourceAddress string `json:"source_address,omitempty"`
	UserAgent     string `json:"user_agent,omitempty"`
}

type originJSON struct {
	EventID       uuid.UUID `json:"event_id"`
	EventType     string    `json:"event_type"`
	AggregateType string    `json:"aggregate_type"`
	AggregateID   uuid.UUID `json:"aggregate_id"`
	Version       uint64    `json:"version,string"`
	Position      uint64    `json:"position,string"`
}

// MarshalJSON implements [json.Marshaler]. Names are in snake_case, positions
// and versions are text, what is absent is left out. There is no way back: a
// record is not made from JSON.
func (r ActivityRecord) MarshalJSON() ([]byte, error) {
	d := &r.d
	out := recordJSON{
		ID: d.ID.String(), TenantID: d.TenantID, OccurredAt: d.OccurredAt, RecordedAt: d.RecordedAt, Position: d.Position,
		ActorID: d.ActorID, OnBehalfOf: d.OnBehalfOf, OwnerID: d.OwnerID,
		Action: d.Action, Entity: entityJSON(d.Entity), Outcome: d.Outcome, Reason: d.Reason, Purpose: d.Purpose,
		Description: d.Description, Request: requestJSON(d.Request),
		CorrelationID: idText(d.CorrelationID), CausationID: idText(d.CausationID),
		Metadata: d.Metadata, Reduced: d.Reduced,
	}
	if o := d.Origin; !o.IsZero() {
		out.Origin = &originJSON{
			EventID: o.EventID, EventType: o.EventType,
			AggregateType: o.Stream.AggregateType, AggregateID: o.Stream.AggregateID,
			Version: o.Version, Position: o.Position,
		}
	}
	return json.Marshal(out) // encoding/json names the field.
}
