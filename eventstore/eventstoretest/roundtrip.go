package eventstoretest

import (
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Every envelope field and the payload's exact bytes come back as written:
// times to the microsecond in UTC, metadata with its types, absent actor,
// tenant and causation as absent.
func roundTrip() []clause {
	return []clause{
		{Name: "every field comes back", Check: everyField},
		{Name: "what is absent stays absent", Check: absentFields},
		{Name: noTenantStaysAbsent, Check: absentTenant},
		{Name: "times come back in UTC to the microsecond", Check: times},
		{Name: "metadata comes back with its types", Check: metadataTypes},
		{Name: "a payload comes back byte for byte", Check: payloadBytes},
		{Name: "ids of any version come back", Check: anyID},
		{Name: "changing what was read changes nothing that is stored", Check: readsIndependent},
		{Name: "changing an append afterwards changes nothing that is stored", Check: appendsIndependent},
		{Name: "changing a payload's bytes afterwards changes nothing that is stored", Check: payloadIndependent},
	}
}

const noTenantStaysAbsent = "an event without a tenant stays without"

// requireRoundTrip stores e, requires that every way of reading returns want,
// and fills in where the store has put it.
func (s subject) requireRoundTrip(t T, e, want event.Event) {
	t.Helper()
	stream := s.stream()
	result := s.append(t, stream, eventstore.NoStream(), e)
	want = eventstore.Place(want, stream, 1, result.Position, result.RecordedAt)
	require.Equal(t, []event.Event{want}, s.read(t, stream))
	require.Equal(t, []event.Event{want}, s.readAll(t, eventstore.Query{After: result.Position - 1, Until: result.Position}))
	backward, err := collect(s.ReadStream(t.Context(), stream, eventstore.StreamQuery{Direction: eventstore.Backward}))
	require.NoError(t, err)
	require.Equal(t, []event.Event{want}, backward)
}

func everyField(t T, s subject) {
	stream := s.stream()
	e := event.Event{
		ID: event.NewID(), Type: "OrderPlaced", SchemaVersion: 4711,
		AggregateType: stream.AggregateType, AggregateID: stream.AggregateID, AggregateVersion: 1,
		TenantID: stream.TenantID, ActorID: "service:shop", CorrelationID: event.NewID(), CausationID: event.NewID(),
		OccurredAt: firstOfMay(), Metadata: event.Metadata{"request": "r-1"}, Data: []byte(`{"amount":1}`),
	}
	result := s.append(t, stream, eventstore.NoStream(), e)
	e.Position, e.RecordedAt = result.Position, result.RecordedAt
	require.Equal(t, []event.Event{e}, s.read(t, stream))
	require.Equal(t, []event.Event{e}, s.readAll(t, eventstore.Query{}))
	require.False(t, result.RecordedAt.IsZero())
	require.Equal(t, event.Time(result.RecordedAt), result.RecordedAt, "in UTC, to the microsecond")
}

func absentFields(t T, s subject) {
	e := draft()
	e.ActorID, e.CorrelationID, e.CausationID, e.Metadata = "", uuid.Nil, uuid.Nil, nil
	s.requireRoundTrip(t, e, e)
	e.ID, e.Metadata = event.NewID(), event.Metadata{}
	want := e
	want.Metadata = nil
	s.requireRoundTrip(t, e, want)
	e = draft()
	e.ActorID = event.Anonymous
	s.requireRoundTrip(t, e, e)
}

func absentTenant(t T, s subject) {
	s.tenant = ""
	e := draft()
	s.requireRoundTrip(t, e, e)
	for _, stored := range s.readAll(t, eventstore.Query{}) {
		require.Empty(t, stored.TenantID)
	}
}

func times(t T, s subject) {
	east := time.FixedZone("east", 5*3600+1800)
	for _, at := range []time.Time{
		time.Date(2026, 5, 1, 0, 0, 0, 999999999, time.UTC),
		time.Date(2026, 5, 1, 0, 0, 0, 123456789, east),
		time.Date(1969, 12, 31, 23, 59, 59, 999999500, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(1582, 10, 10, 0, 0, 0, 0, time.UTC),
		time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Unix(0, 0),
	} {
		e := draft()
		e.OccurredAt = at
		want := e
		want.OccurredAt = at.UTC().Truncate(time.Microsecond)
		s.requireRoundTrip(t, e, want)
	}
}

func metadataTypes(t T, s subject) {
	e := draft()
	e.Metadata = event.Metadata{
		"nil": nil, "true": true, "false": false,
		"text": "héllo <b>&\u2028 \"quoted\" \\ / \t", "empty": "", "looks like a number": "42", "looks like null": "null",
		"int": 42, "negative": int64(-7), "large": int64(math.MaxInt64), "small": int64(math.MinInt64), "beyond 2^53": int64(1<<53 + 1),
		"unsigned": uint64(math.MaxUint64), "unsigned small": uint8(7),
		"float": 0.1, "whole float": 3.0, "huge float": 1e300, "tiny float": 5e-324, "negative float": -2.0, "large whole float": 1e15,
		"list":   []any{1, "two", 3.0, nil, []any{}, map[string]any{"deep": []any{true}}},
		"texts":  []string{"a", "b"},
		"object": map[string]any{"a": map[string]any{"b": map[string]any{"c": int64(1)}}, "empty": map[string]any{}},
		"UPPER":  1, "upper": 2, "a.b": 3, "ключ": 4, "": 5, "trailing ": 6,
	}
	want := e
	want.Metadata = event.Metadata{
		"nil": nil, "true": true, "false": false,
		"text": "héllo <b>&\u2028 \"quoted\" \\ / \t", "empty": "", "looks like a number": "42", "looks like null": "null",
		"int": int64(42), "negative": int64(-7), "large": int64(math.MaxInt64), "small": int64(math.MinInt64), "beyond 2^53": int64(1<<53 + 1),
		"unsigned": uint64(math.MaxUint64), "unsigned small": int64(7),
		"float": 0.1, "whole float": 3.0, "huge float": 1e300, "tiny float": 5e-324, "negative float": -2.0, "large whole float": 1e15,
		"list":   []any{int64(1), "two", 3.0, nil, []any{}, map[string]any{"deep": []any{true}}},
		"texts":  []any{"a", "b"},
		"object": map[string]any{"a": map[string]any{"b": map[string]any{"c": int64(1)}}, "empty": map[string]any{}},
		"UPPER":  int64(1), "upper": int64(2), "a.b": int64(3), "ключ": int64(4), "": int64(5), "trailing ": int64(6),
	}
	s.requireRoundTrip(t, e, want)
}

func payloadBytes(t T, s subject) {
	for _, payload := range []string{
		`{}`, `[]`, `null`, `true`, `0`, `-0.0`, `"text"`, `""`,
		` { "b" : 1 ,` + "\n\t" + `"a" : 2 } `,
		`{"z":1,"a":2,"m":3}`,
		`{"same":1,"same":2}`,
		`{"n":1.0,"m":1.10,"e":1E+2,"big":12345678901234567890123,"long":0.1000000000000000055511151231257827}`,
		`{"escaped":"\u00e9\u2028\/\ud83e\udd8a","plain":"é🦊","html":"<a href='x'>&</a>"}`,
		`{"quote":"it''s","back":"\\","percent":"%s %d $1 ?1 :name @p"}`,
		`{"nul":"\u0000"}`,
		`{"text":"` + strings.Repeat("0123456789", 10_000) + `"}`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		e := draft()
		e.Data = []byte(payload)
		s.requireRoundTrip(t, e, e)
	}
}

func anyID(t T, s subject) {
	for _, id := range []uuid.UUID{
		uuid.Max,
		{15: 1},
		{0: 1},
		uuid.NameSpaceDNS,
		uuid.NewSHA1(uuid.NameSpaceURL, []byte(event.NewID().String())), uuid.NewMD5(uuid.NameSpaceURL, []byte("order")),
	} {
		stream := s.stream()
		stream.AggregateID = id
		e := draft()
		e.ID, e.CorrelationID, e.CausationID = id, id, id
		result := s.append(t, stream, eventstore.NoStream(), e)
		requireStored(t, stream, 0, result, []event.Event{e}, s.read(t, stream))
		requireStored(t, stream, 0, result, []event.Event{e}, s.readAll(t, eventstore.Query{AggregateID: id}))
		requireStored(t, stream, 0, result, []event.Event{e}, s.readAll(t, eventstore.Query{CorrelationID: id}))
		require.Equal(t, result, s.append(t, stream, eventstore.NoStream(), e), "sent again")
	}
}

// delicate returns an event of which everything that can be shared is there.
func delicate() event.Event {
	e := draft()
	e.Metadata = event.Metadata{"list": []any{"a"}, "object": map[string]any{"k": "v"}}
	return e
}

func readsIndependent(t T, s subject) {
	stream := s.stream()
	result := s.append(t, stream, eventstore.NoStream(), delicate())
	want := delicate()
	for range 2 {
		for name, events := range s.reads(t.Context(), stream) {
			stored, err := collect(events)
			require.NoError(t, err, name)
			require.Len(t, stored, 1, name)
			require.Equal(t, want.Data, stored[0].Data, name)
			require.Equal(t, want.Metadata, stored[0].Metadata, name)
			require.Equal(t, result.Position, stored[0].Position, name)
			spoilData(&stored[0])
			spoilMetadata(&stored[0])
		}
	}
}

func appendsIndependent(t T, s subject) {
	stream, e := s.stream(), delicate()
	appends := []eventstore.Append{to(stream, eventstore.NoStream(), e)}
	want := delicate()
	want.ID, want.CorrelationID = e.ID, e.CorrelationID
	result, err := s.Append(t.Context(), appends...)
	require.NoError(t, err)
	spoilMetadata(&appends[0].Events[0])
	appends[0].Events[0] = draft()
	appends[0] = eventstore.Append{}
	requireStored(t, stream, 0, result, []event.Event{want}, s.read(t, stream))
}

// A store that shares the payload's bytes, as it may, declines this.
func payloadIndependent(t T, s subject) {
	stream, e := s.stream(), delicate()
	s.append(t, stream, eventstore.NoStream(), e)
	spoilData(&e)
	require.Equal(t, delicate().Data, s.readN(t, stream, 1)[0].Data)
}

func spoilData(e *event.Event) {
	for i := range e.Data {
		e.Data[i] = 'x'
	}
}

func spoilMetadata(e *event.Event) {
	e.Metadata["more"] = 1
	if list, ok := e.Metadata["list"].([]any); ok {
		list[0] = "changed"
	}
	if object, ok := e.Metadata["object"].(map[string]any); ok {
		object["k"] = "changed"
	}
}
