package jetstream_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// plant appends events in many streams, so many that pages, consumers and windows
// all have their turn, and returns them as they stand in the log. One tenant is
// rare.
func plant(t *testing.T, store *jetstream.Store, total int) []event.Event {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < total; {
		stream := eventstore.Stream{
			TenantID:      event.TenantID([]string{"acme", "umbrella", ""}[random.IntN(3)]),
			AggregateType: []string{"Task", "Note", "Task.Note"}[random.IntN(3)], AggregateID: id(uint64(random.IntN(5)) + 1),
		}
		if n%700 == 0 {
			stream.TenantID = "rare"
		}
		events := notes(1 + random.IntN(100))
		for i := range events {
			events[i].Type = []string{"Noted", "Read"}[random.IntN(2)]
			events[i].ActorID = []event.ActorID{"user:1", "user:2"}[random.IntN(2)]
		}
		n += len(events)
		appends := []eventstore.Append{{Stream: stream, Events: events}}
		if random.IntN(4) == 0 { // an expectation that takes a position
			appends = append(appends, eventstore.Append{Stream: place(uint64(1000 + n)), Expected: eventstore.NoStream()})
			appends[0].Events = events[:1]
			n -= len(events) - 1
		}
		_, err := store.Append(t.Context(), appends...)
		require.NoError(t, err)
	}
	return gather(t, store.ReadAll(t.Context(), eventstore.Query{}))
}

func TestQueriesOverALongLog(t *testing.T) {
	t.Parallel()
	js := natstest.StartProcess(t).JetStream(t)
	store := newEvents(t, js, jetstream.Config{})
	all := plant(t, store, 2500)
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, all[len(all)-1].Position)
	require.Greater(t, head, uint64(len(all)), "guards have positions too")
	random := rand.New(rand.NewPCG(3, 4))
	for range 80 {
		query := randomQuery(random, head)
		var want []event.Event
		for i := range all {
			if query.Matches(&all[i]) {
				want = append(want, all[i])
			}
		}
		if query.Direction == eventstore.Backward {
			slices.Reverse(want)
		}
		if query.Limit > 0 && len(want) > query.Limit {
			want = want[:query.Limit]
		}
		got := gather(t, store.ReadAll(t.Context(), query))
		require.Equal(t, positions(want), positions(got), "%+v", query)
		require.Equal(t, want, got)
	}
}

func positions(events []event.Event) []uint64 {
	all := make([]uint64, len(events))
	for i := range events {
		all[i] = events[i].Position
	}
	return all
}

func randomQuery(random *rand.Rand, head uint64) eventstore.Query {
	var q eventstore.Query
	for _, one := range []func(){
		func() { q.Types = []string{"Noted"} },
		func() {
			q.AggregateTypes = [][]string{{"Task"}, {"Task", "Note"}, {"Task.Note", "None"}}[random.IntN(3)]
		},
		func() { q.AggregateID = id(uint64(random.IntN(6)) + 1) },
		func() { q.TenantID = []event.TenantID{"acme", "rare", "nobody"}[random.IntN(3)] },
		func() { q.ActorID = "user:2" },
		func() { q.After = random.Uint64N(head) },
		func() { q.Until = random.Uint64N(head) },
		func() { q.Limit = 1 + random.IntN(900) },
		func() { q.Direction = eventstore.Backward },
		func() { q.Direction = eventstore.Backward },
	} {
		if random.IntN(4) == 0 {
			one()
		}
	}
	return q
}

// TestTrapAConsumerThatIsDeleted takes a consumer away in the middle: what comes
// after it is read by another one, and nothing twice.
func TestTrapAConsumerThatIsDeleted(t *testing.T) {
	t.Parallel()
	js := natstest.StartProcess(t).JetStream(t)
	config := jetstream.Config{Prefix: "evident"}
	store := newEvents(t, js, config)
	all := plant(t, store, 6000)
	var (
		got     []event.Event
		deleted int
	)
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		if got = append(got, e); len(got)%1500 == 0 { // what was read ahead still comes
			deleted += deleteConsumers(t, js, jetstream.StreamOf(config))
		}
	}
	assert.GreaterOrEqual(t, deleted, 2)
	require.Equal(t, positions(all), positions(got))
}

func deleteConsumers(t *testing.T, js natsjs.JetStream, stream string) (deleted int) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	for name := range s.ConsumerNames(t.Context()).Name() {
		if s.DeleteConsumer(t.Context(), name) == nil {
			deleted++
		}
	}
	return deleted
}

// TestReadsLeaveNoConsumerBehind breaks out of reads that use one.
func TestReadsLeaveNoConsumerBehind(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	config := jetstream.Config{Prefix: "evident"}
	store := newEvents(t, js, config)
	plant(t, store, 1500)
	for range 20 {
		for _, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
			require.NoError(t, err)
			break
		}
	}
	s, err := js.Stream(t.Context(), jetstream.StreamOf(config))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.State.Consumers == 0
	}, patience, tick)
}

func TestALongStreamIsReadInParts(t *testing.T) {
	t.Parallel()
	store := newEvents(t, natstest.StartProcess(t).JetStream(t), jetstream.Config{})
	const total = 2500
	large := string(make([]byte, 64<<10)) // a page is full before it has as many versions as were asked for
	for n := 0; n < total; n += 500 {
		events := notes(500)
		for i := range 150 {
			events[i] = jotted(large)
		}
		_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Expected: eventstore.Exact(uint64(n)), Events: events})
		require.NoError(t, err)
	}
	for _, query := range []eventstore.StreamQuery{{}, {Direction: eventstore.Backward}, {From: 700, To: 2100}, {From: 600, Limit: 801, Direction: eventstore.Backward}, {Limit: 1}} {
		var want []uint64
		for version := range uint64(total) {
			if query.Matches(version + 1) {
				want = append(want, version+1)
			}
		}
		if query.Direction == eventstore.Backward {
			slices.Reverse(want)
		}
		if query.Limit > 0 {
			want = want[:query.Limit]
		}
		var got []uint64
		for _, e := range gather(t, store.ReadStream(t.Context(), place(1), query)) {
			got = append(got, e.AggregateVersion)
		}
		require.Equal(t, want, got, "%+v", query)
	}
	assert.Empty(t, gather(t, store.ReadStream(t.Context(), eventstore.Stream{AggregateType: "Task", AggregateID: uuid.Max}, eventstore.StreamQuery{})))
}
