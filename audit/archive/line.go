package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// MaxLineBytes bounds the line that an event makes. A payload of 32 MiB fits,
// whatever it is.
const MaxLineBytes = 48 << 20

// lineJSON is a line of a file. The sum is over the bytes of the event.
type lineJSON struct {
	Sum   string          `json:"sum"` // CRC-32C, in hexadecimal
	Event json.RawMessage `json:"event"`
}

// eventJSON is an event as a line has it. Numbers of 64 bits are text; what is
// absent is left out. A payload that is JSON and would keep its every byte
// stands as it is, any other in base64.
type eventJSON struct {
	Position      uint64          `json:"position,string"`
	ID            uuid.UUID       `json:"id"`
	Type          string          `json:"type"`
	SchemaVersion int             `json:"schema_version"`
	TenantID      event.TenantID  `json:"tenant_id,omitempty"`
	AggregateType string          `json:"aggregate_type"`
	AggregateID   uuid.UUID       `json:"aggregate_id"`
	Version       uint64          `json:"version,string"`
	ActorID       event.ActorID   `json:"actor_id,omitempty"`
	CorrelationID uuid.UUID       `json:"correlation_id,omitzero"`
	CausationID   uuid.UUID       `json:"causation_id,omitzero"`
	OccurredAt    time.Time       `json:"occurred_at"`
	RecordedAt    time.Time       `json:"recorded_at"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`
	DataBase64    []byte          `json:"data_base64,omitempty"`
}

// encoder turns events into lines.
type encoder struct {
	event   bytes.Buffer
	compact bytes.Buffer
	line    []byte
}

// encode returns the line of an event, which is valid until the next call.
func (c *encoder) encode(e *event.Event) ([]byte, error) {
	metadata, err := event.EncodeMetadata(e.Metadata)
	if err != nil {
		return nil, err
	}
	out := eventJSON{
		Position: e.Position, ID: e.ID, Type: e.Type, SchemaVersion: e.SchemaVersion,
		TenantID: e.TenantID, AggregateType: e.AggregateType, AggregateID: e.AggregateID, Version: e.AggregateVersion,
		ActorID: e.ActorID, CorrelationID: e.CorrelationID, CausationID: e.CausationID,
		OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, Metadata: metadata,
	}
	if c.standsAsItIs(e.Data) {
		out.Data = e.Data
	} else {
		out.DataBase64 = e.Data
	}
	c.event.Reset()
	to := json.NewEncoder(&c.event)
	to.SetEscapeHTML(false) // it would change payloads
	if err := to.Encode(out); err != nil {
		return nil, err
	}
	content := bytes.TrimSuffix(c.event.Bytes(), []byte("\n"))
	c.line = append(c.line[:0], `{"sum":"`...)
	c.line = append(append(c.line, sumOf(content)...), `","event":`...)
	c.line = append(append(c.line, content...), '}', '\n')
	if len(c.line) > MaxLineBytes {
		return nil, &event.TooLargeError{Field: "payload of " + e.Type, Size: len(e.Data), Limit: MaxLineBytes, Unit: "bytes of a line"}
	}
	return c.line, nil
}

// standsAsItIs reports whether a payload comes back byte by byte if it is
// written as a part of the line.
func (c *encoder) standsAsItIs(data []byte) bool {
	if len(data) == 0 || !utf8.Valid(data) {
		return false
	}
	c.compact.Reset()
	return json.Compact(&c.compact, data) == nil && bytes.Equal(c.compact.Bytes(), data)
}

func sumOf(content []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
}

// decode returns the event of a line.
func decode(line []byte) (event.Event, error) {
	var outer lineJSON
	if err := json.Unmarshal(line, &outer); err != nil {
		return event.Event{}, fmt.Errorf("is not a line of an archive: %w", err)
	}
	if sum := sumOf(outer.Event); sum != outer.Sum {
		return event.Event{}, fmt.Errorf("has the sum %s, but says %s", sum, strconv.Quote(outer.Sum))
	}
	var in eventJSON
	if err := json.Unmarshal(outer.Event, &in); err != nil {
		return event.Event{}, fmt.Errorf("is not an event: %w", err)
	}
	return in.event()
}

func (in *eventJSON) event() (event.Event, error) {
	metadata, err := event.DecodeMetadata(in.Metadata)
	if err != nil {
		return event.Event{}, err
	}
	e := event.Event{
		ID: in.ID, Type: in.Type, SchemaVersion: in.SchemaVersion,
		AggregateType: in.AggregateType, AggregateID: in.AggregateID, AggregateVersion: in.Version,
		TenantID: in.TenantID, ActorID: in.ActorID, CorrelationID: in.CorrelationID, CausationID: in.CausationID,
		OccurredAt: event.Time(in.OccurredAt), RecordedAt: event.Time(in.RecordedAt),
		Metadata: metadata, Position: in.Position, Data: in.Data,
	}
	if in.Data == nil {
		e.Data = in.DataBase64
	}
	if e.Position == 0 || e.AggregateVersion == 0 || e.AggregateID == uuid.Nil {
		return event.Event{}, errors.New("is an event without a place")
	}
	if err := e.Validate(); err != nil {
		return event.Event{}, err
	}
	return e, nil
}
