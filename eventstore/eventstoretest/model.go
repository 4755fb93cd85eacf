package eventstoretest

import (
	"math/rand/v2"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// model is a store in its simplest form: what a history of calls has to lead to.
type model struct {
	streams []eventstore.Stream
	log     []event.Event
	sent    []sent
}

// sent is an append that was answered with success.
type sent struct {
	appends []eventstore.Append
	result  eventstore.Result
}

// agreesWithModel does a few thousand random things, one after the other, and
// requires the store to do as the model does.
func agreesWithModel(t T, s subject) {
	const steps = 2000
	seed := rand.Uint64()
	t.Log("seed", seed)
	random, m := seeded(seed), &model{}
	for range 6 {
		m.streams = append(m.streams, s.stream())
	}
	things := []func(t T, s subject, random *rand.Rand){
		m.append, m.append, m.append, m.resend, m.reuse, m.refuse, m.readStream, m.readAll, m.readHead,
	}
	for range steps {
		pick(random, things)(t, s, random)
	}
	require.Equal(t, m.log, s.readAll(t, eventstore.Query{}))
}

// version returns where a stream stands.
func (m *model) version(stream eventstore.Stream) uint64 { return uint64(len(m.stream(stream))) }

func (m *model) stream(stream eventstore.Stream) []event.Event {
	var events []event.Event
	for _, e := range m.log {
		if eventstore.StreamOf(e) == stream {
			events = append(events, e)
		}
	}
	return events
}

// append appends to up to three streams, under expectations that may be wrong.
func (m *model) append(t T, s subject, random *rand.Rand) {
	appends := make([]eventstore.Append, 0, 3)
	failing := make(map[eventstore.Stream]uint64)
	for _, i := range random.Perm(len(m.streams))[:1+random.IntN(3)] {
		version := m.version(m.streams[i])
		expected := pick(random, []eventstore.Expectation{
			eventstore.Any(), eventstore.Any(), eventstore.Exact(version), eventstore.Exact(version), eventstore.Exact(version),
			eventstore.NoStream(), eventstore.StreamExists(), eventstore.Exact(version + 1),
		})
		if !expected.Holds(version) {
			failing[m.streams[i]] = version
		}
		appends = append(appends, to(m.streams[i], expected, m.drafts(random)...))
	}
	result, err := s.Append(t.Context(), appends...)
	if len(failing) > 0 {
		var conflict *eventstore.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Contains(t, failing, conflict.Stream)
		require.Equal(t, failing[conflict.Stream], conflict.Actual)
		return
	}
	require.NoError(t, err)
	m.store(t, s, appends, result)
}

func (m *model) drafts(random *rand.Rand) []event.Event {
	events := drafts(random.IntN(4))
	for i := range events {
		events[i].Type = pick(random, []string{"Placed", "Paid", "Shipped"})
		events[i].ActorID = pick(random, []event.ActorID{"", "user:1", "user:2"})
	}
	return events
}

// store adds an append that succeeded to the model, after the store's own
// order of the streams in it, which is not promised.
func (m *model) store(t T, s subject, appends []eventstore.Append, result eventstore.Result) {
	t.Helper()
	require.Len(t, result.Versions, len(appends))
	want := make(map[uuid.UUID]event.Event)
	for i, a := range appends {
		base := m.version(a.Stream)
		last := base + uint64(len(a.Events))
		if len(a.Events) == 0 {
			last = 0
		}
		require.Equal(t, last, result.Versions[i])
		for j, e := range a.Events {
			want[e.ID] = eventstore.Place(e, a.Stream, base+uint64(j)+1, 0, result.RecordedAt)
		}
	}
	var after uint64
	if len(m.log) > 0 {
		after = m.log[len(m.log)-1].Position
	}
	added := s.readAll(t, eventstore.Query{After: after})
	require.Len(t, added, len(want))
	for _, e := range added {
		placed := want[e.ID]
		placed.Position = e.Position
		require.Equal(t, placed, e)
	}
	m.log = append(m.log, added...)
	if len(added) > 0 {
		require.Equal(t, added[len(added)-1].Position, result.Position)
		m.sent = append(m.sent, sent{appends, result})
	}
}

// resend sends again what was stored at any time before.
func (m *model) resend(t T, s subject, random *rand.Rand) {
	if len(m.sent) == 0 {
		return
	}
	again := pick(random, m.sent)
	result, err := s.Append(t.Context(), again.appends...)
	require.NoError(t, err)
	require.Equal(t, again.result, result)
	m.readHead(t, s, random)
}

// reuse sends an event that is stored to another stream.
func (m *model) reuse(t T, s subject, random *rand.Rand) {
	if len(m.log) == 0 {
		return
	}
	known := draft()
	known.ID = pick(random, m.log).ID
	_, err := s.Append(t.Context(), to(s.stream(), eventstore.Any(), known, draft()))
	require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
}

// refuse sends something invalid.
func (m *model) refuse(t T, s subject, random *rand.Rand) {
	events := drafts(3)
	events[random.IntN(3)].Type = ""
	_, err := s.Append(t.Context(), to(pick(random, m.streams), eventstore.Any(), events...))
	require.ErrorIs(t, err, eventstore.ErrInvalid)
}

func (m *model) readStream(t T, s subject, random *rand.Rand) {
	stream := pick(random, m.streams)
	query := eventstore.StreamQuery{
		From: random.Uint64N(m.version(stream) + 2), To: random.Uint64N(m.version(stream) + 2),
		Limit: random.IntN(12), Direction: eventstore.Direction(random.IntN(2)),
	}
	got, err := collect(s.ReadStream(t.Context(), stream, query))
	require.NoError(t, err)
	require.Equal(t, matchingVersions(m.stream(stream), query), got, "%+v", query)
}

func (m *model) readAll(t T, s subject, random *rand.Rand) {
	if len(m.log) == 0 {
		return
	}
	query := eventstore.Query{
		After: pick(random, m.log).Position, Limit: 1 + random.IntN(20),
		Direction: eventstore.Direction(random.IntN(2)),
	}
	if random.IntN(2) == 0 {
		query.Types = []string{"Paid", pick(random, []string{"Placed", "Unknown"})}
	}
	if random.IntN(2) == 0 {
		query.AggregateID = pick(random, m.streams).AggregateID
	}
	require.Equal(t, matching(m.log, query), s.readAll(t, query), "%+v", query)
}

func (m *model) readHead(t T, s subject, _ *rand.Rand) {
	var last uint64
	if len(m.log) > 0 {
		last = m.log[len(m.log)-1].Position
	}
	require.Equal(t, last, s.head(t))
}
