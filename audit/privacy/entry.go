package privacy

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// ExportFormat names the layout of an export.
const ExportFormat = "evident.person/1"

// Header is the first line of an export: what was asked for.
type Header struct {
	ID              uuid.UUID // of the export; its record in the log has the same
	Subject         Subject
	AsOf            uint64 // position of the last record that was looked at
	ExportedAt      time.Time
	Purpose         string
	Payloads        bool // whether the events' payloads are in it
	DisclosedActors bool // whether other people are named
	Justification   string
}

// Entry is one record of an export.
type Entry struct {
	Position      uint64
	Sections      []Section // why it is about the person
	ID            uuid.UUID
	OccurredAt    time.Time
	RecordedAt    time.Time
	ActorKind     string        // "user", "service" …; always there
	ActorID       event.ActorID // "" if it is masked
	OnBehalfOf    event.ActorID
	OwnerID       string
	Action        string
	Entity        audit.EntityRef
	Outcome       audit.Outcome
	Reason        string
	Purpose       string
	Description   string
	Request       audit.Request
	CorrelationID uuid.UUID
	CausationID   uuid.UUID
	Metadata      event.Metadata
	EventType     string
	Data          []byte   // the event's payload, if the export has payloads
	Masked        []string // fields that are left out because they are about somebody else
	Reduced       []string // fields that say less than the event does: see [audit.ActivityRecord.Reduced]
}

// Trailer is the last line of an export. A file without it was cut.
type Trailer struct {
	Records uint64
	SHA256  string // of all lines before
}

// lineJSON is any line: one of the three is there.
type lineJSON struct {
	Header  *headerJSON  `json:"header,omitempty"`
	Record  *entryJSON   `json:"record,omitempty"`
	Trailer *trailerJSON `json:"trailer,omitempty"`
}

type headerJSON struct {
	Format          string      `json:"format"`
	ID              uuid.UUID   `json:"id"`
	Subject         subjectJSON `json:"subject"`
	AsOf            uint64      `json:"as_of,string"`
	ExportedAt      time.Time   `json:"exported_at"`
	Purpose         string      `json:"purpose,omitempty"`
	Payloads        bool        `json:"payloads"`
	DisclosedActors bool        `json:"disclosed_actors"`
	Justification   string      `json:"justification,omitempty"`
}

type subjectJSON struct {
	TenantID event.TenantID  `json:"tenant_id,omitempty"`
	ActorIDs []event.ActorID `json:"actor_ids,omitempty"`
	OwnerIDs []string        `json:"owner_ids,omitempty"`
	Entities []entityJSON    `json:"entities,omitempty"`
}

type entityJSON struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Version uint64 `json:"version,omitempty,string"`
}

type entryJSON struct {
	Position      uint64          `json:"position,string"`
	Sections      []Section       `json:"sections"`
	ID            uuid.UUID       `json:"id"`
	OccurredAt    time.Time       `json:"occurred_at"`
	RecordedAt    time.Time       `json:"recorded_at,omitzero"`
	ActorKind     string          `json:"actor_kind"`
	ActorID       event.ActorID   `json:"actor_id,omitempty"`
	OnBehalfOf    event.ActorID   `json:"on_behalf_of,omitempty"`
	OwnerID       string          `json:"owner_id,omitempty"`
	Action        string          `json:"action"`
	Entity        entityJSON      `json:"entity"`
	Outcome       audit.Outcome   `json:"outcome"`
	Reason        string          `json:"reason,omitempty"`
	Purpose       string          `json:"purpose,omitempty"`
	Description   string          `json:"description,omitempty"`
	Request       requestJSON     `json:"request,omitzero"`
	CorrelationID uuid.UUID       `json:"correlation_id,omitzero"`
	CausationID   uuid.UUID       `json:"causation_id,omitzero"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
	EventType     string          `json:"event_type,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`
	DataBase64    []byte          `json:"data_base64,omitempty"`
	Masked        []string        `json:"masked,omitempty"`
	Reduced       []string        `json:"reduced,omitempty"`
}

type requestJSON struct {
	ID            string `json:"id,omitempty"`
	Traceparent   string `json:"traceparent,omitempty"`
	SourceAddress string `json:"source_address,omitempty"`
	UserAgent     string `json:"user_agent,omitempty"`
}

type trailerJSON struct {
	Records uint64 `json:"records,string"`
	SHA256  string `json:"sha256"`
}

// encodeLine returns a line as it is written, with its end.
func encodeLine(line lineJSON) ([]byte, error) {
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	to.SetEscapeHTML(false) // it would change payloads
	err := to.Encode(line)
	return out.Bytes(), err
}

func (h Header) line() lineJSON {
	out := headerJSON{
		Format: ExportFormat, ID: h.ID, AsOf: h.AsOf, ExportedAt: h.ExportedAt, Purpose: h.Purpose,
		Payloads: h.Payloads, DisclosedActors: h.DisclosedActors, Justification: h.Justification,
		Subject: subjectJSON{TenantID: h.Subject.TenantID, ActorIDs: h.Subject.ActorIDs, OwnerIDs: h.Subject.OwnerIDs},
	}
	for _, entity := range h.Subject.Entities {
		out.Subject.Entities = append(out.Subject.Entities, entityJSON(entity))
	}
	return lineJSON{Header: &out}
}

func (in headerJSON) header() Header {
	h := Header{
		ID: in.ID, AsOf: in.AsOf, ExportedAt: in.ExportedAt, Purpose: in.Purpose,
		Payloads: in.Payloads, DisclosedActors: in.DisclosedActors, Justification: in.Justification,
		Subject: Subject{TenantID: in.Subject.TenantID, ActorIDs: in.Subject.ActorIDs, OwnerIDs: in.Subject.OwnerIDs},
	}
	for _, entity := range in.Subject.Entities {
		h.Subject.Entities = append(h.Subject.Entities, audit.EntityRef(entity))
	}
	return h
}

func (e Entry) line() (lineJSON, error) {
	metadata, err := event.EncodeMetadata(e.Metadata)
	if err != nil {
		return lineJSON{}, err
	}
	out := entryJSON{
		Position: e.Position, Sections: e.Sections, ID: e.ID, OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt,
		ActorKind: e.ActorKind, ActorID: e.ActorID, OnBehalfOf: e.OnBehalfOf, OwnerID: e.OwnerID,
		Action: e.Action, Entity: entityJSON(e.Entity), Outcome: e.Outcome, Reason: e.Reason, Purpose: e.Purpose, Description: e.Description,
		Request: requestJSON(e.Request), CorrelationID: e.CorrelationID, CausationID: e.CausationID,
		Metadata: metadata, EventType: e.EventType, Masked: e.Masked, Reduced: e.Reduced,
	}
	if standsAsItIs(e.Data) {
		out.Data = e.Data
	} else {
		out.DataBase64 = e.Data
	}
	return lineJSON{Record: &out}, nil
}

// standsAsItIs reports whether a payload comes back byte by byte if it is
// written as a part of the line.
func standsAsItIs(data []byte) bool {
	var compact bytes.Buffer
	return len(data) > 0 && utf8.Valid(data) && json.Compact(&compact, data) == nil && bytes.Equal(compact.Bytes(), data)
}

func (in entryJSON) entry() (Entry, error) {
	metadata, err := event.DecodeMetadata(in.Metadata)
	if err != nil {
		return Entry{}, err
	}
	if in.Position == 0 || len(in.Sections) == 0 {
		return Entry{}, errors.New("has no position or no section")
	}
	e := Entry{
		Position: in.Position, Sections: in.Sections, ID: in.ID, OccurredAt: in.OccurredAt, RecordedAt: in.RecordedAt,
		ActorKind: in.ActorKind, ActorID: in.ActorID, OnBehalfOf: in.OnBehalfOf, OwnerID: in.OwnerID,
		Action: in.Action, Entity: audit.EntityRef(in.Entity), Outcome: in.Outcome, Reason: in.Reason, Purpose: in.Purpose, Description: in.Description,
		Request: audit.Request(in.Request), CorrelationID: in.CorrelationID, CausationID: in.CausationID,
		Metadata: metadata, EventType: in.EventType, Data: in.Data, Masked: in.Masked, Reduced: in.Reduced,
	}
	if in.Data == nil {
		e.Data = in.DataBase64
	}
	return e, nil
}
