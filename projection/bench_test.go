package projection_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// BenchmarkReplay replays events through the runner into a counter (W5), with an
// observer that counts. The limit is a loop that reads, decodes and calls the
// same handler, without checkpoint, lease or dead letters. The runner may take a
// quarter longer.
func BenchmarkReplay(b *testing.B) {
	const events = 200_000
	store := filled(b, events)
	ours, theirs := benchtest.Turns(b.N, 1, func(n int) {
		for range n {
			require.Equal(b, events, replayed(b, store))
		}
	}, func(n int) {
		for range n {
			require.Equal(b, events, looped(b, store))
		}
	})
	benchtest.Report(b, b.N*events, 0.8, ours, theirs)
}

func replayed(b *testing.B, store eventstore.Store) (count int) {
	b.Helper()
	p := projection.New("counter", 1, projection.On(func(context.Context, event.Of[noted]) error { count++; return nil }))
	progress, err := memory.Open(b.Context(), memory.Config{})
	require.NoError(b, err)
	r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{p}, Progress: progress, Observer: &tally{}})
	require.NoError(b, err)
	require.NoError(b, r.RunUntilCaughtUp(b.Context()))
	return count
}

func looped(b *testing.B, store eventstore.Store) (count int) {
	b.Helper()
	handlers, err := event.NewHandlers(nil, event.Handle(func(n *int, _ event.Of[noted]) error { *n++; return nil }))
	require.NoError(b, err)
	for e, err := range store.ReadAll(b.Context(), eventstore.Query{Types: handlers.Types()}) {
		if err != nil {
			b.Fatal(err)
		}
		if _, err := handlers.Handle(&count, e); err != nil {
			b.Fatal(err)
		}
	}
	return count
}

// tally is an observer that adds up what it is told.
type tally struct{ steps, applied atomic.Int64 }

// Begin implements projection.Observer.
func (t *tally) Begin(ctx context.Context, _ projection.Step) (context.Context, func(projection.StepEnd)) {
	t.steps.Add(1)
	return ctx, func(end projection.StepEnd) { t.applied.Add(int64(end.Applied)) }
}

// BenchmarkBatches replays events through the runner into a handler for batches
// that does nothing: what remains is the runner's own. The limit is a loop that
// only reads.
func BenchmarkBatches(b *testing.B) {
	const events = 200_000
	store := filled(b, events)
	b.Run("limit", func(b *testing.B) {
		for b.Loop() {
			count := 0
			for _, err := range store.ReadAll(b.Context(), eventstore.Query{}) {
				if err != nil {
					b.Fatal(err)
				}
				count++
			}
			require.Equal(b, events, count)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
	})
	asItIs := func(_ context.Context, tx projection.Tx) (projection.Tx, error) { return tx, nil }
	for name, replay := range map[string]func(count *int) projection.Projection{
		"one by one, exactly once": func(count *int) projection.Projection {
			d := projection.Declare[projection.Tx]("nothing", 1)
			d.OnEvery(func(context.Context, projection.Tx, event.Event) error { *count++; return nil })
			return d.Build(asItIs)
		},
		"exactly once": func(count *int) projection.Projection {
			d := projection.Declare[projection.Tx]("nothing", 1)
			d.OnBatch(func(_ context.Context, _ projection.Tx, events []event.Event) error {
				*count += len(events)
				return nil
			})
			return d.Build(asItIs)
		},
		"at least once": func(count *int) projection.Projection {
			return projection.New("nothing", 1, projection.OnBatch(func(_ context.Context, events []event.Event) error { *count += len(events); return nil }))
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				count := 0
				progress, err := memory.Open(b.Context(), memory.Config{})
				require.NoError(b, err)
				r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{replay(&count)}, Progress: progress})
				require.NoError(b, err)
				require.NoError(b, r.RunUntilCaughtUp(b.Context()))
				require.Equal(b, events, count)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
		})
	}
}

// filled returns a store with n events of ten streams.
func filled(b *testing.B, n int) *memory.Store {
	b.Helper()
	store, err := memory.Open(b.Context(), memory.Config{})
	require.NoError(b, err)
	const streams, batch = 10, 100
	ids := make([]uuid.UUID, streams)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for i := 0; i < n; i += batch {
		events := make([]event.Event, batch)
		for j := range events {
			events[j], err = event.New(b.Context(), noted{Text: "remember the milk, the bread, and what the neighbour said about the fence between the gardens"})
			require.NoError(b, err)
		}
		stream := eventstore.Stream{AggregateType: "Note", AggregateID: ids[i/batch%streams]}
		_, err = store.Append(b.Context(), eventstore.Append{Stream: stream, Events: events})
		require.NoError(b, err)
	}
	return store
}
