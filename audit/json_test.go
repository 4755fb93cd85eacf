package audit_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// recordJSON is a record as encoding/json would write it.
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
	Outcome       audit.Outcome  `json:"outcome"`
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

func optionalID(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

func byReflection(d audit.Draft) ([]byte, error) {
	out := recordJSON{
		ID: d.ID.String(), TenantID: d.TenantID, OccurredAt: d.OccurredAt, RecordedAt: d.RecordedAt, Position: d.Position,
		ActorID: d.ActorID, OnBehalfOf: d.OnBehalfOf, OwnerID: d.OwnerID,
		Action: d.Action, Entity: entityJSON(d.Entity), Outcome: d.Outcome, Reason: d.Reason, Purpose: d.Purpose,
		Description: d.Description, Request: requestJSON(d.Request),
		CorrelationID: optionalID(d.CorrelationID), CausationID: optionalID(d.CausationID), Metadata: d.Metadata, Reduced: d.Reduced,
	}
	if o := d.Origin; !o.IsZero() {
		out.Origin = &originJSON{
			EventID: o.EventID, EventType: o.EventType, Version: o.Version, Position: o.Position,
			AggregateType: o.Stream.AggregateType, AggregateID: o.Stream.AggregateID,
		}
	}
	return json.Marshal(out)
}

func requireSameJSON(t require.TestingT, d audit.Draft) {
	want, err := byReflection(d)
	require.NoError(t, err)
	got, err := audit.Restore(d).AppendJSON([]byte("before "))
	require.NoError(t, err)
	require.Equal(t, "before "+string(want), string(got))
	marshalled, err := json.Marshal(audit.Restore(d))
	require.NoError(t, err)
	require.Equal(t, string(want), string(marshalled))
}

// TestJSONIsWhatReflectionWrites compares the encoder with encoding/json.
func TestJSONIsWhatReflectionWrites(t *testing.T) {
	t.Parallel()
	requireSameJSON(t, audit.Draft{})
	requireSameJSON(t, fullDraft())
	for c := range rune(0x300) {
		d := fullDraft()
		d.Reason = "a" + string(c) + "b"
		d.Purpose = string([]byte{byte(c)})
		requireSameJSON(t, d)
	}
	d := fullDraft()
	d.Metadata = event.Metadata{
		"": nil, "b": true, "a": false, "i": int64(math.MinInt64), "u": uint64(math.MaxUint64), "f": 1e21, "g": 1e-7, "h": -0.5,
		"list": []any{int64(1), "<"}, "object": map[string]any{"z": 1.0, "a": nil}, "\u2028<é\xff": "\u2029&\x00\x7f",
	}
	d.Reduced = []string{"a", "b\n", "c"}
	requireSameJSON(t, d)
	rapid.Check(t, func(t *rapid.T) {
		d := fullDraft()
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		d.TenantID, d.OwnerID, d.Reason = event.TenantID(text.Draw(t, "tenant")), text.Draw(t, "owner"), text.Draw(t, "reason")
		d.Position, d.Entity.Version = rapid.Uint64().Draw(t, "position"), rapid.Uint64().Draw(t, "version")
		d.OccurredAt = time.UnixMicro(rapid.Int64Range(-62_135_596_800_000_000, 253_402_300_799_999_999).Draw(t, "occurred")).UTC()
		d.Metadata = event.Metadata{text.Draw(t, "key"): text.Draw(t, "value"), "n": rapid.Int64().Draw(t, "n"), "f": rapid.Float64().Draw(t, "f")}
		requireSameJSON(t, d)
	})
}

func TestJSONNamesTheFieldThatItCannotWrite(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(d *audit.Draft){
		"occurred_at":    func(d *audit.Draft) { d.OccurredAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"recorded_at":    func(d *audit.Draft) { d.RecordedAt = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
		"metadata.ratio": func(d *audit.Draft) { d.Metadata = event.Metadata{"ratio": math.NaN()} },
	} {
		d := fullDraft()
		change(&d)
		got, err := audit.Restore(d).AppendJSON([]byte("before"))
		require.ErrorContains(t, err, "encode "+field+": ")
		assert.Equal(t, "before", string(got))
		_, err = json.Marshal(audit.Restore(d))
		require.ErrorContains(t, err, field)
	}
}

// BenchmarkJSON compares the encoder with encoding/json.
func BenchmarkJSON(b *testing.B) {
	d := fullDraft()
	record := audit.Restore(d)
	b.Run("append", func(b *testing.B) {
		var line []byte
		for b.Loop() {
			line, _ = record.AppendJSON(line[:0])
		}
	})
	b.Run("reflection", func(b *testing.B) {
		for b.Loop() {
			_, _ = byReflection(d)
		}
	})
}
