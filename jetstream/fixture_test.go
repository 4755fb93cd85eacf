package jetstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

func TestMain(m *testing.M) {
	if chaostest.Run(chaosHome) {
		return
	}
	os.Exit(m.Run())
}

const (
	patience = 60 * time.Second // at the edge to the server
	tick     = 5 * time.Millisecond
)

var start = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

func id(n uint64) uuid.UUID { return uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012x", n)) }

// quick is a configuration whose failures show soon.
func quick() jetstream.PublisherConfig {
	return jetstream.PublisherConfig{PublishTimeout: 500 * time.Millisecond}
}

func provisioned(tb testing.TB, js natsjs.JetStream, config jetstream.PublisherConfig) *jetstream.Publisher {
	tb.Helper()
	require.Eventually(tb, func() bool {
		err := jetstream.ProvisionStream(tb.Context(), js, config)
		if err != nil {
			require.True(tb, jetstream.IsRetryable(err), "%v", err)
		}
		return err == nil
	}, patience, tick)
	return newPublisher(tb, js, config)
}

func newPublisher(tb testing.TB, js natsjs.JetStream, config jetstream.PublisherConfig) *jetstream.Publisher {
	tb.Helper()
	p, err := jetstream.NewPublisher(js, config)
	require.NoError(tb, err)
	return p
}

func newStore(tb testing.TB) *memory.Store {
	tb.Helper()
	store, err := memory.Open(tb.Context(), memory.Config{})
	require.NoError(tb, err)
	return store
}

func newRunner(tb testing.TB, store *memory.Store, p projection.Projection, changes ...func(*projection.Config)) *projection.Runner {
	tb.Helper()
	config := projection.Config{
		Projections: []projection.Projection{p},
		Pause:       projection.Retry{First: 5 * time.Millisecond, Most: 100 * time.Millisecond},
		Retry:       projection.Retry{MaxAttempts: 2, First: time.Millisecond, Most: time.Millisecond},
	}
	for _, change := range changes {
		change(&config)
	}
	runner, err := projection.NewRunner(store, config)
	require.NoError(tb, err)
	return runner
}

func stream(n int) eventstore.Stream {
	return eventstore.Stream{TenantID: "acme", AggregateType: "Task", AggregateID: id(uint64(n))}
}

// ticked is an event with nothing special.
func ticked(tb testing.TB, data string) event.Event {
	tb.Helper()
	return event.Event{
		ID: event.NewID(), Type: "TaskTicked", SchemaVersion: 1, TenantID: "acme", ActorID: "user:7f3a", OccurredAt: start,
		CorrelationID: id(900), Data: []byte(data),
	}
}

func appendTo(tb testing.TB, store *memory.Store, s eventstore.Stream, events ...event.Event) {
	tb.Helper()
	for i := range events {
		events[i].TenantID, events[i].AggregateType, events[i].AggregateID = s.TenantID, s.AggregateType, s.AggregateID
	}
	_, err := store.Append(tb.Context(), eventstore.Append{Stream: s, Events: events})
	require.NoError(tb, err)
}

// fill appends n events, spread over so many streams.
func fill(tb testing.TB, store *memory.Store, n, streams int) {
	tb.Helper()
	for i := range n {
		appendTo(tb, store, stream(i%streams), ticked(tb, strconv.Itoa(i)))
	}
}

// stored reads a whole stream without the package's own reader.
func stored(tb testing.TB, js natsjs.JetStream, name string) []*natsjs.RawStreamMsg {
	tb.Helper()
	s, err := js.Stream(tb.Context(), name)
	require.NoError(tb, err)
	var all []*natsjs.RawStreamMsg
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(tb.Context(), seq)
		require.NoError(tb, err)
		all = append(all, m)
	}
	return all
}

func decode(tb testing.TB, data []byte) (c jetstream.CloudEvent, a jetstream.Activity) {
	tb.Helper()
	require.NoError(tb, json.Unmarshal(data, &c))
	a, err := jetstream.DecodeActivity(c)
	require.NoError(tb, err)
	return c, a
}

// background runs f until the returned function is called, which returns its error.
func background(tb testing.TB, f func(ctx context.Context) error) (stop func() error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}
