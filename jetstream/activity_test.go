package jetstream_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/golden"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// rich is an event about which everything is known, personal data included.
func rich(tb testing.TB) event.Event {
	tb.Helper()
	e := ticked(tb, `{"title":"secret payload"}`)
	e.ID, e.Type, e.CausationID = id(1), "TaskClosed", id(2)
	e.Metadata = event.Metadata{
		audit.KeyOwner: "user:55aa", audit.KeyOnBehalfOf: "user:carol@example.com", audit.KeyPurpose: "support", audit.KeyRequest: "req_1",
		audit.KeyTraceparent: goodTrace, audit.KeySourceAddress: "192.0.2.1", audit.KeyUserAgent: "curl/8 <&>",
		"phone": "+49 30 123", "count": int64(1), "ratio": 1.0,
	}
	return e
}

// published returns what one event becomes on the stream, made comparable.
func published(t *testing.T, config jetstream.PublisherConfig, e event.Event) (subject string, header map[string][]string, body []byte) {
	t.Helper()
	js := natstest.Start(t).JetStream(t)
	publisher := provisioned(t, js, config)
	e.AggregateType, e.AggregateID, e.AggregateVersion, e.Position, e.RecordedAt = "Task", id(5), 3, 42, start.Add(1500000)
	require.NoError(t, publisher.Apply(t.Context(), nil, e))
	all := stored(t, js, "AUDIT")
	require.Len(t, all, 1)
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, all[0].Data, "", "  "))
	for _, direct := range []string{"Nats-Sequence", "Nats-Stream", "Nats-Subject", "Nats-Time-Stamp"} { // how it was read
		delete(all[0].Header, direct)
	}
	return all[0].Subject, all[0].Header, append(pretty.Bytes(), '\n')
}

func TestThinMessage(t *testing.T) {
	t.Parallel()
	subject, header, body := published(t, quick(), rich(t))
	assert.Equal(t, "audit.v1.acme.activity.recorded.Task.closed", subject)
	assert.Equal(t, map[string][]string{
		"Nats-Msg-Id": {id(1).String()}, "Nats-Expected-Stream": {"AUDIT"},
		"Content-Type": {"application/cloudevents+json"}, "traceparent": {goodTrace},
	}, header)
	golden.Compare(t, body, "testdata/activity-thin.json")
	for _, private := range []string{"secret", "phone", "+49", "carol", "192.0.2.1", "curl", "support", "triggered"} {
		assert.NotContains(t, string(body), private)
	}
	requireSchema(t, body)
}

func TestFullMessage(t *testing.T) {
	t.Parallel()
	config := quick()
	config.Full, config.Source, config.TypePrefix, config.SchemaURL = true, "https://audit.example.org", "org.example", "https://example.org/v1.json"
	_, _, body := published(t, config, rich(t))
	golden.Compare(t, body, "testdata/activity-full.json")
	requireSchema(t, body)
	_, a := decode(t, body)
	assert.Equal(t, event.Metadata{"count": int64(1), "ratio": 1.0}, event.Metadata{"count": a.Metadata["count"], "ratio": a.Metadata["ratio"]}, "types survive")
}

// What is absent is left out, nobody is not the system, and an id that is not
// opaque stays inside.
func TestTheLeastMessage(t *testing.T) {
	t.Parallel()
	e := ticked(t, "")
	e.ID, e.TenantID, e.ActorID, e.CorrelationID = id(1), "", "", uuid.Nil
	e.Metadata = event.Metadata{audit.KeyOwner: "alice@example.com", audit.KeyTraceparent: "made up"}
	_, header, body := published(t, quick(), e)
	assert.NotContains(t, header, "traceparent")
	golden.Compare(t, body, "testdata/activity-least.json")
	requireSchema(t, body)
}

func schema(t *testing.T) (*openapi3.Schema, map[string]any) {
	t.Helper()
	var s openapi3.Schema
	require.NoError(t, json.Unmarshal(jetstream.ActivityRecordedSchema(), &s))
	var raw map[string]any
	require.NoError(t, json.Unmarshal(jetstream.ActivityRecordedSchema(), &raw))
	return &s, raw
}

// requireSchema holds a message against the published schema, and refuses
// properties that it does not describe.
func requireSchema(t *testing.T, body []byte) {
	t.Helper()
	c, _ := decode(t, body)
	var data map[string]any
	require.NoError(t, json.Unmarshal(c.Data, &data))
	s, raw := schema(t)
	require.NoError(t, s.VisitJSON(data, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation()))
	requireDescribed(t, "", raw, data)
}

func requireDescribed(t *testing.T, path string, schema, data map[string]any) {
	t.Helper()
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return // free, as metadata is
	}
	for name, value := range data {
		require.Contains(t, properties, name, path)
		if below, ok := value.(map[string]any); ok {
			described, _ := properties[name].(map[string]any)
			requireDescribed(t, path+name+".", described, below)
		}
	}
}

func TestTheSchemaRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := `{"id":"01900000-0000-7000-8000-000000000001","occurred_at":"2024-01-15T10:30:00Z","action":"task.closed","entity":{"type":"Task"},"outcome":"success"`
	s, _ := schema(t)
	visit := func(text string) error {
		var data any
		require.NoError(t, json.Unmarshal([]byte(text), &data))
		return s.VisitJSON(data, openapi3.EnableJSONSchema2020())
	}
	require.NoError(t, visit(good+`,"from_the_future":1}`))
	for _, bad := range []string{`,"outcome":"maybe"}`, `,"position":7}`, `,"action":"Bad"}`, `,"entity":{}}`, `,"actor_id":""}`} {
		assert.Error(t, visit(good+bad), bad)
	}
}

// The rule for changing version 1: what readers rely on stays. A property may
// be added here and to the schema; a line that goes, or changes, is version 2.
func TestTheSchemaOfVersion1OnlyGrows(t *testing.T) {
	t.Parallel()
	_, raw := schema(t)
	var lines []string
	describe(&lines, "", raw)
	slices.Sort(lines)
	golden.Compare(t, []byte(strings.Join(lines, "\n")+"\n"), "testdata/schema-v1.txt")
	assert.Equal(t, []any{"id", "occurred_at", "action", "entity", "outcome"}, raw["required"], "what is required is fixed for ever")
	assert.NotContains(t, raw, "additionalProperties", "readers must take what they do not know")
	assert.Equal(t, jetstream.ActivityRecordedSchemaURL, raw["$id"])
}

// describe writes a line for everything in a schema that a reader can rely on.
func describe(lines *[]string, path string, schema map[string]any) {
	for _, keyword := range []string{"type", "format", "pattern", "enum", "required", "minLength"} {
		if value, ok := schema[keyword]; ok {
			text, _ := json.Marshal(value)
			*lines = append(*lines, path+" "+keyword+" "+string(text))
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if below, ok := properties[name].(map[string]any); ok {
			describe(lines, path+"/"+name, below)
		}
	}
}

func TestReadersTakeWhatTheyDoNotKnowAndRefuseAnotherVersion(t *testing.T) {
	t.Parallel()
	data := json.RawMessage(`{"id":"01900000-0000-7000-8000-000000000001","occurred_at":"2024-01-15T10:30:00Z","action":"task.closed","entity":{"type":"Task","colour":"red"},"outcome":"success","later":{"a":1}}`)
	c := jetstream.CloudEvent{ID: "1", Source: "/a", Type: "org.example.audit.activity.recorded.v1", Data: data}
	a, err := jetstream.DecodeActivity(c)
	require.NoError(t, err)
	assert.Equal(t, "task.closed", a.Action)
	for _, other := range []string{"org.example.audit.activity.recorded.v2", "org.example.audit.activity.recorded.v10", "notaudit.activity.recorded.v1", "x"} {
		c.Type = other
		_, err = jetstream.DecodeActivity(c)
		require.ErrorIs(t, err, jetstream.ErrUnknownType, other)
		require.ErrorContains(t, err, "v1")
	}
	c.Type = "audit.activity.recorded.v1"
	for _, bad := range []string{`{"id":7}`, `{}`, `null`, `{"metadata":[]}`} {
		c.Data = json.RawMessage(bad)
		_, err = jetstream.DecodeActivity(c)
		assert.ErrorIs(t, err, event.ErrDecode, bad)
	}
}

func TestTheSchemaIsACopy(t *testing.T) {
	t.Parallel()
	jetstream.ActivityRecordedSchema()[0] = 'x'
	assert.Equal(t, byte('{'), jetstream.ActivityRecordedSchema()[0])
}

// Any domain event can be published by a mapping of the user's.
func TestAMappingOfTheUsers(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	config := quick()
	config.Stream, config.Prefix, config.Name, config.Types = "TASKS", "tasks", "task_events", []string{"TaskTicked", "TaskHidden"}
	config.Map = func(e event.Event) (jetstream.Message, bool, error) {
		if e.Type == "TaskHidden" {
			return jetstream.Message{}, false, nil
		}
		m, err := jetstream.NewMessage(jetstream.Subject("tasks", string(e.TenantID), e.Type), jetstream.CloudEventOf(e, "/tasks", "org.example.task.v1"))
		return m, true, err
	}
	publisher := provisioned(t, js, config)
	store := newStore(t)
	hidden, other := ticked(t, "2"), ticked(t, "3")
	hidden.Type, other.Type = "TaskHidden", "TaskOther"
	appendTo(t, store, stream(1), ticked(t, `{"n":1}`), hidden, other)
	require.NoError(t, newRunner(t, store, publisher).RunUntilCaughtUp(t.Context()))
	all := stored(t, js, "TASKS")
	require.Len(t, all, 1)
	assert.Equal(t, "tasks.acme.TaskTicked", all[0].Subject)
	var c jetstream.CloudEvent
	require.NoError(t, json.Unmarshal(all[0].Data, &c))
	assert.JSONEq(t, `{"n":1}`, string(c.Data))
}
