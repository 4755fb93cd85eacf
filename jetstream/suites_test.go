package jetstream_test

import (
	"iter"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

func TestConformanceEventStore(t *testing.T) {
	t.Parallel()
	server := natstest.StartProcess(t)
	conforms(t, server.JetStream, 1)
}

func TestConformanceEventStoreOfThree(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	conforms(t, cluster.JetStream, 3)
}

// connects opens another connection, as another process would.
type connects func(t testing.TB, options ...nats.Option) natsjs.JetStream

// conforms runs the suite with a stream for each clause.
func conforms(t *testing.T, connect connects, replicas int) {
	t.Helper()
	open := func(t *testing.T) eventstore.Store {
		t.Helper()
		return newEvents(t, connect(t), jetstream.Config{Replicas: replicas})
	}
	t.Run("import", func(t *testing.T) { t.Parallel(); eventstoretest.RunImporter(t, open) })
	eventstoretest.Run(t, open, eventstoretest.Second(func(t *testing.T, store eventstore.Store) eventstore.Store {
		t.Helper()
		first, ok := store.(*jetstream.Store)
		require.True(t, ok)
		return openEvents(t, connect(t), jetstream.ConfigOf(first))
	}))
}

// newEvents provisions a store of its own, and opens it.
func newEvents(tb testing.TB, js natsjs.JetStream, config jetstream.Config) *jetstream.Store {
	tb.Helper()
	if config.Prefix == "" {
		config.Prefix = "e" + event.NewID().String()
	}
	require.Eventually(tb, func() bool {
		err := jetstream.Provision(tb.Context(), js, config)
		if err != nil {
			require.True(tb, jetstream.IsRetryable(err), "%v", err)
		}
		return err == nil
	}, patience, tick)
	return openEvents(tb, js, config)
}

func openEvents(tb testing.TB, js natsjs.JetStream, config jetstream.Config) *jetstream.Store {
	tb.Helper()
	var store *jetstream.Store
	require.Eventually(tb, func() bool {
		var err error
		store, err = jetstream.Open(tb.Context(), js, config)
		if err != nil {
			require.True(tb, jetstream.IsRetryable(err), "%v", err)
		}
		return err == nil
	}, patience, tick)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// place is a stream that tests write to.
func place(n uint64) eventstore.Stream {
	return eventstore.Stream{TenantID: "acme", AggregateType: "Task", AggregateID: id(n)}
}

// jotted is an event that no stream has.
func jotted(data string) event.Event {
	return event.Event{ID: event.NewID(), Type: "Noted", SchemaVersion: 1, ActorID: "user:1", OccurredAt: start, Data: []byte(data)}
}

func notes(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = jotted(`{}`)
	}
	return events
}

// gather reads a sequence to its end.
func gather(tb testing.TB, events iter.Seq2[event.Event, error]) []event.Event {
	tb.Helper()
	var all []event.Event
	for e, err := range events {
		require.NoError(tb, err)
		all = append(all, e)
	}
	return all
}
