package audit

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Change is one field in which two records, or two activities, differ.
type Change struct {
	Field string // as in errors and in JSON, for example "entity.version"
	A, B  string // what the one and the other have, as text
}

// String returns `description "a" is "b" in the other`.
func (c Change) String() string {
	return fmt.Sprintf("%s %q is %q in the other", c.Field, c.A, c.B)
}

// Equal reports whether two records say the same in every field.
func (r ActivityRecord) Equal(other ActivityRecord) bool {
	a, b := &r.d, &other.d
	return a.ID == b.ID && a.TenantID == b.TenantID && a.Position == b.Position &&
		a.OccurredAt.Equal(b.OccurredAt) && a.RecordedAt.Equal(b.RecordedAt) &&
		a.ActorID == b.ActorID && a.OnBehalfOf == b.OnBehalfOf && a.OwnerID == b.OwnerID &&
		a.Action == b.Action && a.Entity == b.Entity && a.Outcome == b.Outcome &&
		a.Reason == b.Reason && a.Purpose == b.Purpose && a.Description == b.Description && a.Request == b.Request &&
		a.CorrelationID == b.CorrelationID && a.CausationID == b.CausationID && a.Origin == b.Origin &&
		slices.Equal(a.Reduced, b.Reduced) && maps.EqualFunc(a.Metadata, b.Metadata, sameValue)
}

// sameValue compares two values of metadata. A home whose rows were tampered
// with may give lists and objects, which cannot be compared by ==.
func sameValue(a, b any) bool {
	x, scalarX := scalar(a)
	y, scalarY := scalar(b)
	if scalarX && scalarY {
		return x == y
	}
	return scalarX == scalarY && asText(a) == asText(b)
}

// Changes returns the fields in which other differs from r, in a fixed order;
// none if the two are equal.
func (r ActivityRecord) Changes(other ActivityRecord) []Change {
	if r.Equal(other) {
		return nil
	}
	return changes(r.fields(), other.fields())
}

// fields yields every field with its value as text.
func (r ActivityRecord) fields() iter.Seq2[string, string] {
	d := &r.d
	return func(yield func(string, string) bool) {
		_ = yield("id", d.ID.String()) &&
			yield("tenant_id", string(d.TenantID)) &&
			yield("position", strconv.FormatUint(d.Position, 10)) &&
			yield("occurred_at", timeText(d.OccurredAt)) &&
			yield("recorded_at", timeText(d.RecordedAt)) &&
			yield("actor_id", string(d.ActorID)) &&
			yield("on_behalf_of", string(d.OnBehalfOf)) &&
			yield("owner_id", d.OwnerID) &&
			yield("action", d.Action) &&
			yield("entity.type", d.Entity.Type) &&
			yield("entity.id", d.Entity.ID) &&
			yield("entity.version", strconv.FormatUint(d.Entity.Version, 10)) &&
			yield("outcome", string(d.Outcome)) &&
			yield("reason", d.Reason) &&
			yield("purpose", d.Purpose) &&
			yield("description", d.Description) &&
			yield("request.id", d.Request.ID) &&
			yield("request.traceparent", d.Request.Traceparent) &&
			yield("request.source_address", d.Request.SourceAddress) &&
			yield("request.user_agent", d.Request.UserAgent) &&
			yield("correlation_id", idText(d.CorrelationID)) &&
			yield("causation_id", idText(d.CausationID)) &&
			yield("metadata", metadataJSON(d.Metadata)) &&
			yield("origin.event_id", idText(d.Origin.EventID)) &&
			yield("origin.event_type", d.Origin.EventType) &&
			yield("origin.stream", d.Origin.Stream.String()) &&
			yield("origin.version", strconv.FormatUint(d.Origin.Version, 10)) &&
			yield("origin.position", strconv.FormatUint(d.Origin.Position, 10)) &&
			yield("reduced", strings.Join(d.Reduced, ","))
	}
}

// Changes returns the fields in which other differs from a, in a fixed order;
// none if the two are equal.
func (a Activity) Changes(other Activity) []Change {
	if a == other {
		return nil
	}
	return changes(a.fields(), other.fields())
}

func (a Activity) fields() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		_ = yield("event_id", a.EventID.String()) &&
			yield("event_type", a.EventType) &&
			yield("action", a.Action) &&
			yield("entity.type", a.Entity.Type) &&
			yield("entity.id", a.Entity.ID) &&
			yield("entity.version", strconv.FormatUint(a.Entity.Version, 10)) &&
			yield("tenant_id", string(a.TenantID)) &&
			yield("actor_id", string(a.ActorID)) &&
			yield("correlation_id", idText(a.CorrelationID)) &&
			yield("occurred_at", timeText(a.OccurredAt)) &&
			yield("recorded_at", timeText(a.RecordedAt)) &&
			yield("position", strconv.FormatUint(a.Position, 10))
	}
}

// changes pairs two lists of the same fields.
func changes(a, b iter.Seq2[string, string]) []Change {
	others := make([]string, 0, 32)
	for _, value := range b {
		others = append(others, value)
	}
	var found []Change
	i := 0
	for field, value := range a {
		if value != others[i] {
			found = append(found, Change{Field: field, A: value, B: others[i]})
		}
		i++
	}
	return found
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// metadataJSON is what a store keeps: it tells 1 from 1.0 and from "1".
func metadataJSON(m event.Metadata) string {
	data, err := event.EncodeMetadata(m)
	if err != nil {
		return err.Error()
	}
	return cmp.Or(string(data), "{}")
}
