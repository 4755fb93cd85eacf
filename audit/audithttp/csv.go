package audithttp

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// csvLine is a line of RFC 4180 without its line feed. What is in a value stays
// as it is, line ends included; only formulas are made harmless.
func csvLine(values []string) []byte {
	var b []byte
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendCell(b, harmless(value))
	}
	return append(b, '\r')
}

// harmless puts an apostrophe in front of what a spreadsheet would compute.
func harmless(value string) string {
	if value != "" && strings.ContainsRune("=+-@\t\r\n", rune(value[0])) {
		return "'" + value
	}
	return value
}

func appendCell(b []byte, value string) []byte {
	if !strings.ContainsAny(value, "\",\r\n") && strings.TrimSpace(value) == value {
		return append(b, value...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(value, `"`, `""`)...)
	return append(b, '"')
}

func recordColumns() []string {
	return []string{
		"position", "id", "recorded_at", "occurred_at", "tenant_id", "actor_id", "on_behalf_of", "owner_id",
		"action", "entity_type", "entity_id", "entity_version", "outcome", "reason", "purpose", "description",
		"request_id", "traceparent", "source_address", "user_agent", "correlation_id", "causation_id", "event_type", "metadata",
	}
}

func recordRow(r audit.ActivityRecord) []string {
	entity, request := r.Entity(), r.Request()
	return []string{
		csvNumber(r.Position()), r.ID().String(), csvTime(r.RecordedAt()), csvTime(r.OccurredAt()), string(r.TenantID()),
		string(r.ActorID()), string(r.OnBehalfOf()), r.OwnerID(),
		r.Action(), entity.Type, entity.ID, csvNumber(entity.Version), string(r.Outcome()), r.Reason(), r.Purpose(), r.Description(),
		request.ID, request.Traceparent, request.SourceAddress, request.UserAgent, csvID(r.CorrelationID()), csvID(r.CausationID()),
		r.EventType(), csvMetadata(r.Metadata()),
	}
}

func csvTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func csvID(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// csvMetadata is a JSON object with its keys sorted, "" if there is nothing.
func csvMetadata(m event.Metadata) string {
	data, err := event.EncodeMetadata(m)
	if err != nil {
		return "" // cannot be: it was stored.
	}
	return string(data)
}
