package jetstream_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/jetstream"
)

func TestCloudEventsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	c := jetstream.CloudEvent{
		ID: "1", Source: "/a", Type: "t.v1", Subject: "Task/1", Time: start, DataSchema: "https://example.org/s.json",
		Extensions: map[string]string{"tenantid": "acme <&> é"}, Data: json.RawMessage(`{"a":1}`),
	}
	data, err := json.Marshal(c)
	require.NoError(t, err)
	var back jetstream.CloudEvent
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, c, back)
}

func TestUnknownAttributesAreKeptAsText(t *testing.T) {
	t.Parallel()
	var c jetstream.CloudEvent
	require.NoError(t, json.Unmarshal([]byte(`{"specversion":"1.0","id":"1","source":"/a","type":"t","num":7,"yes":true,"none":null,"Bad-Name":1,"data_base64":"AA=="}`), &c))
	assert.Equal(t, map[string]string{"num": "7", "yes": "true"}, c.Extensions)
	assert.Nil(t, c.Data)
}

func TestOtherEnvelopesAreRefused(t *testing.T) {
	t.Parallel()
	var c jetstream.CloudEvent
	require.ErrorIs(t, json.Unmarshal([]byte(`{"specversion":"2.0","id":"1","source":"/a","type":"t"}`), &c), jetstream.ErrUnknownType)
	require.ErrorIs(t, json.Unmarshal([]byte(`{}`), &c), jetstream.ErrUnknownType)
	require.ErrorIs(t, json.Unmarshal([]byte(`{"specversion":"1.0","source":"/a","type":"t"}`), &c), event.ErrInvalid)
	require.Error(t, json.Unmarshal([]byte(`{"specversion":1}`), &c))
}

func TestAnInvalidCloudEventIsNotEncoded(t *testing.T) {
	t.Parallel()
	good := jetstream.CloudEvent{ID: "1", Source: "/a", Type: "t"}
	for field, change := range map[string]func(*jetstream.CloudEvent){
		"id":         func(c *jetstream.CloudEvent) { c.ID = "" },
		"source":     func(c *jetstream.CloudEvent) { c.Source = "" },
		"type":       func(c *jetstream.CloudEvent) { c.Type = "" },
		"extensions": func(c *jetstream.CloudEvent) { c.Extensions = map[string]string{"Upper": "x"} },
		"data":       func(c *jetstream.CloudEvent) { c.Data = json.RawMessage("{") },
	} {
		c := good
		change(&c)
		var invalid *event.InvalidError
		require.ErrorAs(t, c.Validate(), &invalid)
		assert.Equal(t, field, invalid.Field)
		_, err := jetstream.NewMessage("a.b", c)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	reserved := good
	reserved.Extensions = map[string]string{"id": "2"}
	assert.ErrorIs(t, reserved.Validate(), event.ErrInvalid)
}

func TestADomainEventAsACloudEvent(t *testing.T) {
	t.Parallel()
	e := ticked(t, `{"n":1}`)
	e.AggregateType, e.AggregateID, e.Position, e.RecordedAt, e.CausationID = "Task", id(5), 7, start, id(8)
	e.Metadata = event.Metadata{"traceparent": goodTrace}
	c := jetstream.CloudEventOf(e, "/tasks", "org.example.task.ticked.v1")
	assert.Equal(t, map[string]string{
		"tenantid": "acme", "authtype": "user", "authid": "user:7f3a", "correlationid": id(900).String(), "causationid": id(8).String(),
		"sequence": "00000000000000000007", "recordedtime": "2024-01-15T10:30:00Z", "traceparent": goodTrace,
	}, c.Extensions)
	assert.JSONEq(t, `{"n":1}`, string(c.Data))
	assert.Equal(t, "Task/"+id(5).String(), c.Subject)
	e.Data = []byte{0xff}
	assert.Nil(t, jetstream.CloudEventOf(e, "/tasks", "t").Data)
}

func TestKindsOfActors(t *testing.T) {
	t.Parallel()
	for actor, want := range map[event.ActorID][2]string{
		"":                       {"unauthenticated", ""},
		event.Anonymous:          {"unauthenticated", "anonymous"},
		"user:1":                 {"user", "user:1"},
		"user:alice@example.com": {"user", ""},
		"service:billing":        {"service_account", "service:billing"},
		"api:key_1":              {"api_key", "api:key_1"},
		"cron:nightly":           {"system", "cron:nightly"},
		"webhook:stripe":         {"unknown", "webhook:stripe"},
	} {
		e := ticked(t, "1")
		e.ActorID = actor
		x := jetstream.CloudEventOf(e, "/a", "t").Extensions
		assert.Equal(t, want, [2]string{x["authtype"], x["authid"]}, actor)
	}
}

const goodTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestOnlyAWellFormedTraceparentIsPassedOn(t *testing.T) {
	t.Parallel()
	header := func(trace string) []string {
		m, err := jetstream.NewMessage("a.b", jetstream.CloudEvent{ID: "1", Source: "/a", Type: "t", Extensions: map[string]string{"traceparent": trace}})
		require.NoError(t, err)
		return m.Header["traceparent"]
	}
	assert.Equal(t, []string{goodTrace}, header(goodTrace))
	later := "cc" + goodTrace[2:] + "-what-the-future-will-be-like"
	assert.Equal(t, []string{later}, header(later))
	for _, bad := range []string{
		"", "00-1", goodTrace + "-x", "ff" + goodTrace[2:], "cc" + goodTrace[2:] + ".x", later + "\r\nX: y",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	} {
		assert.Empty(t, header(bad), "%q", bad)
	}
}

func TestNoCloudEventPanics(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c jetstream.CloudEvent
		data := []byte(rapid.StringOf(rapid.SampledFrom([]rune(`{}[]":,aid01.specversion`))).Draw(t, "data"))
		_ = json.Unmarshal(data, &c)
		_, _ = jetstream.DecodeActivity(c)
	})
}
