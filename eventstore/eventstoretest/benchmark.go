package eventstoretest

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Benchmark measures a store with the workloads that stores are compared by:
//
//   - W1: a new stream with 1 event, by 1, 8 and 64 goroutines
//   - W2: a new stream with 10 events, by 8 goroutines
//   - W3: read and decode a stream of 10, 100 and 1,000 events in a store of 200,000
//   - W4: read a stream of 20 events, append 1 with the expected version, by 8 goroutines
//   - W5: read and decode 200,000 events in global order
//
// Payloads are orders of about 200 bytes of JSON. open returns an empty store
// and closes it when the benchmark ends.
func Benchmark(b *testing.B, open func(b *testing.B) eventstore.Store) {
	b.Helper()
	for _, goroutines := range []int{1, 8, 64} {
		b.Run("W1/goroutines="+strconv.Itoa(goroutines), func(b *testing.B) { appendNew(b, open(b), goroutines, 1) })
	}
	b.Run("W2/goroutines=8", func(b *testing.B) { appendNew(b, open(b), 8, 10) })
	b.Run("W4/goroutines=8", func(b *testing.B) { readAndAppend(b, open(b)) })
	b.Run("of=200000", func(b *testing.B) {
		store := open(b)
		streams := fill(b, store)
		for _, n := range []int{10, 100, 1000} {
			b.Run("W3/events="+strconv.Itoa(n), func(b *testing.B) { readStreams(b, store, streams[n], n) })
		}
		b.Run("W5", func(b *testing.B) { replay(b, store) })
	})
}

// order is the payload of the workloads, about 200 bytes as JSON.
type order struct {
	Number   int      `json:"number"`
	Customer string   `json:"customer"`
	Street   string   `json:"street"`
	City     string   `json:"city"`
	Amount   int      `json:"amount"`
	Currency string   `json:"currency"`
	Items    []string `json:"items"`
	Paid     bool     `json:"paid"`
}

func payload(number int) []byte {
	data, _ := json.Marshal(order{
		Number: number, Customer: "customer-4711", Street: "12 Long Street", City: "Springfield",
		Amount: 4200, Currency: "EUR", Items: []string{"book", "pencil", "a very long ruler", "paper"}, Paid: true,
	})
	return data
}

func orders(n int) []event.Event {
	events := drafts(n)
	for i := range events {
		events[i].Data = payload(i)
	}
	return events
}

func newOrder() eventstore.Stream {
	return eventstore.Stream{AggregateType: "Order", AggregateID: event.NewID()}
}

// spread calls f b.N times in all, from so many goroutines.
func spread(b *testing.B, goroutines int, f func(ctx context.Context, i int) error) {
	b.Helper()
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for g := range goroutines {
		all.Go(func() {
			for i := g; i < b.N; i += goroutines {
				if err := f(b.Context(), i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func appendNew(b *testing.B, store eventstore.Store, goroutines, events int) {
	b.Helper()
	template := orders(events)
	spread(b, goroutines, func(ctx context.Context, _ int) error {
		batch := slices.Clone(template)
		for i := range batch {
			batch[i].ID = event.NewID()
		}
		_, err := store.Append(ctx, to(newOrder(), eventstore.NoStream(), batch...))
		return err
	})
	perSecond(b, events)
}

func readAndAppend(b *testing.B, store eventstore.Store) {
	b.Helper()
	const streams, events, goroutines = 1000, 20, 8
	all := make([]eventstore.Stream, streams)
	for i := range all {
		all[i] = newOrder()
		_, err := store.Append(b.Context(), to(all[i], eventstore.NoStream(), orders(events)...))
		require.NoError(b, err)
	}
	spread(b, goroutines, func(ctx context.Context, i int) error {
		// Each goroutine has streams of its own: there are no conflicts.
		stream := all[i%goroutines+i/goroutines%(streams/goroutines)*goroutines]
		var version uint64
		for e, err := range store.ReadStream(ctx, stream, eventstore.StreamQuery{}) {
			if err != nil {
				return err
			}
			version = e.AggregateVersion
		}
		_, err := store.Append(ctx, to(stream, eventstore.Exact(version), orders(1)...))
		return err
	})
}

// fill brings a store to 200,000 events and returns streams by their length.
func fill(b *testing.B, store eventstore.Store) map[int][]eventstore.Stream {
	b.Helper()
	streams := make(map[int][]eventstore.Stream)
	for range 100 {
		for n, of := range map[int]int{10: 50, 100: 5, 1000: 1} {
			for range of {
				stream := newOrder()
				_, err := store.Append(b.Context(), to(stream, eventstore.NoStream(), orders(n)...))
				require.NoError(b, err)
				streams[n] = append(streams[n], stream)
			}
		}
	}
	return streams
}

func readStreams(b *testing.B, store eventstore.Store, streams []eventstore.Stream, events int) {
	b.Helper()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for e, err := range store.ReadStream(b.Context(), streams[i%len(streams)], eventstore.StreamQuery{}) {
			require.NoError(b, err)
			var o order
			require.NoError(b, json.Unmarshal(e.Data, &o))
			n++
		}
		if n != events {
			b.Fatalf("%d of %d events", n, events)
		}
		i++
	}
	perSecond(b, events)
}

func replay(b *testing.B, store eventstore.Store) {
	b.Helper()
	events := 0
	b.ReportAllocs()
	for b.Loop() {
		paid := 0
		for e, err := range store.ReadAll(b.Context(), eventstore.Query{}) {
			require.NoError(b, err)
			var o order
			require.NoError(b, json.Unmarshal(e.Data, &o))
			if o.Paid {
				paid++
			}
		}
		events = paid
	}
	perSecond(b, events)
}

func perSecond(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
