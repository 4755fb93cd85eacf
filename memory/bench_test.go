package memory_test

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/memory"
)

func BenchmarkStore(b *testing.B) {
	eventstoretest.Benchmark(b, func(b *testing.B) eventstore.Store {
		b.Helper()
		store, err := memory.Open(b.Context(), memory.Config{})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, store.Close()) })
		return store
	})
}

// BenchmarkAppend is the store's own part of saving a new aggregate, without
// encoding; BenchmarkLimit is what the whole of it is compared with.
func BenchmarkAppend(b *testing.B) {
	store, err := memory.Open(b.Context(), memory.Config{})
	require.NoError(b, err)
	e := placed(uuid.New())
	e.Data = make([]byte, 200)
	appends := []eventstore.Append{{Expected: eventstore.NoStream(), Events: []event.Event{e}}}
	b.ReportAllocs()
	for b.Loop() {
		id := event.NewID()
		appends[0].Stream, appends[0].Events[0].ID = orderOf(id), id
		if _, err := store.Append(b.Context(), appends...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLimit encodes a payload of about 200 bytes and appends it to a
// slice under a mutex: the least that saving an event can cost.
func BenchmarkLimit(b *testing.B) {
	type order struct {
		ID       uuid.UUID `json:"id"`
		Customer string    `json:"customer"`
		Street   string    `json:"street"`
		Amount   int       `json:"amount"`
		Currency string    `json:"currency"`
		Note     string    `json:"note"`
	}
	o := order{uuid.New(), "customer-4711", "12 Long Street, Springfield", 4200, "EUR", "please deliver between nine and eleven"}
	var (
		mu  sync.Mutex
		log [][]byte
	)
	b.ReportAllocs()
	for b.Loop() {
		data, err := json.Marshal(o)
		if err != nil {
			b.Fatal(err)
		}
		mu.Lock()
		log = append(log, data)
		mu.Unlock()
	}
	b.ReportMetric(float64(len(log))/float64(b.N), "kept/op")
}
