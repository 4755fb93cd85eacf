package jetstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// ContentType is what messages say of themselves: CloudEvents in structured
// mode.
const ContentType = "application/cloudevents+json"

// The extension attributes that messages of this package carry, where they are
// known. All are text.
const (
	ExtensionTenant       = "tenantid"
	ExtensionAuthType     = "authtype" // kind of actor, in the words of the CloudEvents authcontext extension
	ExtensionAuthID       = "authid"   // the actor, if the id is opaque
	ExtensionCorrelation  = "correlationid"
	ExtensionCausation    = "causationid"
	ExtensionSequence     = "sequence"     // position, 20 digits, so that text order is the order
	ExtensionRecordedTime = "recordedtime" // by the store's clock
	ExtensionTraceparent  = "traceparent"
)

const specVersion = "1.0"

// CloudEvent is an event as CloudEvents 1.0 describes it, with JSON data. It
// encodes to the structured form, attributes sorted by name. Decoding ignores
// what it does not know.
type CloudEvent struct {
	ID         string // unique within the source
	Source     string // a URI or a path
	Type       string // with its major version, for example "evident.audit.activity.recorded.v1"
	Subject    string // what it is about; may be empty
	Time       time.Time
	DataSchema string            // URI of the schema of Data; may be empty
	Extensions map[string]string // further attributes; empty ones are left out
	Data       json.RawMessage   // nil for none
}

// CloudEventOf returns a domain event as a CloudEvent of a source, with the
// extension attributes of this package and the payload as its data. The actor
// is left out if its id is not opaque. A payload that is not JSON is left out,
// too: a mapping may set another one.
func CloudEventOf(e event.Event, source, eventType string) CloudEvent {
	c := CloudEvent{
		ID: e.ID.String(), Source: source, Type: eventType, Subject: e.AggregateType + "/" + e.AggregateID.String(), Time: e.OccurredAt,
		Extensions: extensions(e.TenantID, e.ActorID, e.CorrelationID, e.CausationID, e.Position, e.RecordedAt),
	}
	if json.Valid(e.Data) {
		c.Data = json.RawMessage(bytes.Clone(e.Data))
	}
	if trace, ok := e.Metadata["traceparent"].(string); ok && isTraceparent(trace) {
		c.Extensions[ExtensionTraceparent] = trace
	}
	return c
}

// isTraceparent reports whether s can be passed on as it is: a version to come
// may say more than we read.
func isTraceparent(s string) bool {
	_, ok := audit.ParseTraceparent(s)
	return ok
}

func extensions(tenant event.TenantID, actor event.ActorID, correlation, causation uuid.UUID, position uint64, recorded time.Time) map[string]string {
	m := map[string]string{
		ExtensionTenant:      string(tenant),
		ExtensionAuthType:    authType(actor),
		ExtensionAuthID:      string(opaque(actor)),
		ExtensionCorrelation: idText(correlation),
		ExtensionCausation:   idText(causation),
	}
	if position > 0 {
		m[ExtensionSequence] = fmt.Sprintf("%020d", position)
	}
	if !recorded.IsZero() {
		m[ExtensionRecordedTime] = recorded.UTC().Format(time.RFC3339Nano)
	}
	maps.DeleteFunc(m, func(_, value string) bool { return value == "" })
	return m
}

// opaque returns an id if nothing about it looks like personal data, else "".
func opaque[T ~string](id T) T {
	if len(event.ActorID(id).Lint()) > 0 {
		return ""
	}
	return id
}

func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// authType is the kind of an actor in the words of the authcontext extension.
func authType(actor event.ActorID) string {
	switch actor.Kind() {
	case event.KindUser:
		return "user"
	case event.KindService:
		return "service_account"
	case event.KindAPI:
		return "api_key"
	case event.KindSystem, event.KindCron, event.KindImport:
		return "system"
	case "", event.KindAnonymous:
		return "unauthenticated"
	default:
		return "unknown"
	}
}

// Validate refuses what CloudEvents 1.0 does not allow. The error, an
// [*event.InvalidError], names the attribute.
func (c CloudEvent) Validate() error {
	for _, required := range []struct{ attribute, value string }{{"id", c.ID}, {"source", c.Source}, {"type", c.Type}} {
		if required.value == "" {
			return &event.InvalidError{Field: required.attribute, Reason: "must not be empty"}
		}
	}
	for name := range c.Extensions {
		if !isAttribute(name) || isReserved(name) {
			return &event.InvalidError{Field: "extensions", Value: shown(name), Reason: "must be 1 to 20 small letters and digits, and none of the attributes that have a field"}
		}
	}
	if c.Data != nil && !json.Valid(c.Data) {
		return &event.InvalidError{Field: "data", Reason: "is not JSON"}
	}
	return nil
}

func isAttribute(name string) bool {
	return name != "" && len(name) <= 20 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func isReserved(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "data":
		return true
	default:
		return false
	}
}

// MarshalJSON implements [json.Marshaler].
func (c CloudEvent) MarshalJSON() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	out := make(map[string]any, len(c.Extensions)+9)
	for name, value := range c.Extensions {
		out[name] = value
	}
	out["id"], out["source"], out["type"] = c.ID, c.Source, c.Type
	out["subject"], out["dataschema"] = c.Subject, c.DataSchema
	maps.DeleteFunc(out, func(_ string, value any) bool { return value == "" })
	out["specversion"] = specVersion
	if !c.Time.IsZero() {
		out["time"] = c.Time.UTC()
	}
	if c.Data != nil {
		out["datacontenttype"], out["data"] = "application/json", c.Data
	}
	return encode(out)
}

// UnmarshalJSON implements [json.Unmarshaler]. Another version of CloudEvents
// is an [*UnknownTypeError].
func (c *CloudEvent) UnmarshalJSON(data []byte) error {
	var known struct {
		SpecVersion string          `json:"specversion"`
		ID          string          `json:"id"`
		Source      string          `json:"source"`
		Type        string          `json:"type"`
		Subject     string          `json:"subject"`
		Time        time.Time       `json:"time"`
		DataSchema  string          `json:"dataschema"`
		Data        json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return fmt.Errorf("decode CloudEvent: %w", err)
	}
	if known.SpecVersion != specVersion {
		return &UnknownTypeError{Type: "CloudEvents " + shown(known.SpecVersion), Known: "CloudEvents " + specVersion}
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("decode CloudEvent: %w", err)
	}
	*c = CloudEvent{
		ID: known.ID, Source: known.Source, Type: known.Type, Subject: known.Subject, Time: known.Time,
		DataSchema: known.DataSchema, Data: known.Data, Extensions: otherAttributes(all),
	}
	return c.Validate()
}

// otherAttributes returns the attributes without a field, as text. What cannot
// be one is ignored.
func otherAttributes(all map[string]json.RawMessage) map[string]string {
	m := make(map[string]string)
	for name, value := range all {
		if isReserved(name) || !isAttribute(name) || string(value) == "null" {
			continue
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		m[name] = text
	}
	return m
}
