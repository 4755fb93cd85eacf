package aggregate_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

// OrderPlaced has the usual size of an event: some 200 bytes of JSON.
type OrderPlaced struct {
	OrderID  string `json:"order_id"`
	Customer string `json:"customer"`
	Currency string `json:"currency"`
	Total    int64  `json:"total"`
	Items    int    `json:"items"`
	Street   string `json:"street"`
	City     string `json:"city"`
	Note     string `json:"note"`
}

func (OrderPlaced) EventType() string { return "OrderPlaced" }

type orderState struct {
	Customer string
	Total    int64
	Placed   int
}

type Order struct {
	aggregate.AggregateRoot[orderState]
}

var orders = aggregate.Define("Order",
	aggregate.On(func(s *orderState, e event.Of[OrderPlaced]) {
		s.Customer, s.Total = e.Payload.Customer, s.Total+e.Payload.Total
		s.Placed++
	}),
)

func orderPlaced(i int) OrderPlaced {
	return OrderPlaced{
		OrderID: "ord-0001928374", Customer: "cust-8871623", Currency: "EUR", Total: int64(100 + i), Items: i & 7,
		Street: "Rue de la Paix 12 bis", City: "Luxembourg", Note: "please ring the bell twice, then ask the neighbour",
	}
}

// The limit of a save is what nobody can do without: the payload is encoded
// by encoding/json and goes into a slice under a mutex. limitEvents appends the
// event, with the type, actor and correlation that a store has to keep, and is
// what the bar is for; limitBytes appends nothing but the payload's bytes, and
// is there to be compared with.
type limitBytes struct {
	mu  sync.Mutex
	log [][]byte
}

func (l *limitBytes) save(b *testing.B, payload any) {
	data := marshal(b, payload)
	l.mu.Lock()
	l.log = append(l.log, data)
	l.mu.Unlock()
}

type limitEvents struct {
	mu  sync.Mutex
	log []event.Event
}

func (l *limitEvents) save(b *testing.B, payload event.Payload, id uuid.UUID) {
	data := marshal(b, payload)
	l.mu.Lock()
	l.log = append(l.log, event.Event{
		ID: id, AggregateID: id, AggregateType: "Order", Type: payload.EventType(),
		ActorID: "user:550e8400", CorrelationID: id, Data: data,
	})
	l.mu.Unlock()
}

func marshal(b *testing.B, payload any) []byte {
	data, err := json.Marshal(payload)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

func openMemory(b *testing.B) *memory.Store {
	store, err := memory.Open(b.Context(), memory.Config{})
	require.NoError(b, err)
	return store
}

func actorContext(b *testing.B) context.Context {
	return event.WithCorrelation(event.WithActor(b.Context(), event.User("550e8400")), event.NewID())
}

func saveNew(ctx context.Context, b *testing.B, repo *aggregate.Repository[Order], id uuid.UUID, i int) {
	order := repo.New(id)
	if err := order.Emit(ctx, orderPlaced(i)); err != nil {
		b.Fatal(err)
	}
	if err := repo.Save(ctx, order); err != nil {
		b.Fatal(err)
	}
}

// newIDs fills ids as if one was made each microsecond. How ids are made is the
// application's business, so it is not part of what is measured.
func newIDs(ids []uuid.UUID) {
	started := time.Now()
	for i := range ids {
		ids[i] = event.NewIDAt(started.Add(time.Duration(i) * time.Microsecond))
	}
}

// perStore bounds how many events a benchmark puts into one store.
const perStore = 100_000

// BenchmarkSaveNew saves a new aggregate with one event, beside the limit.
// "ratio" is the limit's time by evident's, the median of rounds in turns.
func BenchmarkSaveNew(b *testing.B) {
	b.Run("limit", func(b *testing.B) {
		b.ReportAllocs()
		var limit limitBytes
		for i := 0; b.Loop(); i++ {
			if i%perStore == 0 {
				limit.log = nil
			}
			limit.save(b, orderPlaced(i))
		}
	})
	b.Run("evident", func(b *testing.B) {
		b.ReportAllocs()
		ctx := actorContext(b)
		ids := make([]uuid.UUID, perStore)
		var repo *aggregate.Repository[Order]
		for i := 0; b.Loop(); i++ {
			if i%perStore == 0 {
				b.StopTimer()
				newIDs(ids)
				repo = aggregate.NewRepository[Order](openMemory(b), orders)
				b.StartTimer()
			}
			saveNew(ctx, b, repo, ids[i%perStore], i)
		}
	})
	ids := make([]uuid.UUID, perStore)
	evident := func(ctx context.Context, b *testing.B) func() {
		return func() {
			repo := aggregate.NewRepository[Order](openMemory(b), orders)
			for i, id := range ids {
				saveNew(ctx, b, repo, id, i)
			}
		}
	}
	b.Run("paired/bytes", func(b *testing.B) {
		paired(b, 0, func() { newIDs(ids) }, func() {
			var limit limitBytes
			for i := range ids {
				limit.save(b, orderPlaced(i))
			}
		}, evident(actorContext(b), b))
	})
	b.Run("paired/events", func(b *testing.B) {
		paired(b, 0.85, func() { newIDs(ids) }, func() {
			var limit limitEvents
			for i, id := range ids {
				limit.save(b, orderPlaced(i), id)
			}
		}, evident(actorContext(b), b))
	})
}

// BenchmarkLoad loads an aggregate of 1,000 events. The limit decodes the same
// payloads.
func BenchmarkLoad(b *testing.B) {
	const events = 1000
	ctx := actorContext(b)
	store := openMemory(b)
	repo := aggregate.NewRepository[Order](store, orders)
	order := repo.New(event.NewID())
	for i := range events {
		require.NoError(b, order.Emit(ctx, orderPlaced(i)))
	}
	require.NoError(b, repo.Save(ctx, order))
	payloads := storedPayloads(b, store, order.ID())

	limit := func() {
		for _, data := range payloads {
			var p OrderPlaced
			if err := json.Unmarshal(data, &p); err != nil {
				b.Fatal(err)
			}
		}
	}
	load := func() {
		if _, err := repo.Load(ctx, order.ID()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("limit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			limit()
		}
	})
	b.Run("evident", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			load()
		}
	})
	b.Run("paired", func(b *testing.B) { paired(b, 0.8, func() {}, limit, load) })
}

func storedPayloads(b *testing.B, store eventstore.Store, id uuid.UUID) [][]byte {
	var payloads [][]byte
	for e, err := range store.ReadStream(b.Context(), eventstore.Stream{AggregateType: "Order", AggregateID: id}, eventstore.StreamQuery{}) {
		require.NoError(b, err)
		payloads = append(payloads, e.Data)
	}
	return payloads
}

// paired runs both in turns, so that both meet the same machine, and reports
// the median of limit's time by measured's: 1 means as fast as the limit. What
// is set up before each round is not timed.
func paired(b *testing.B, bar float64, setUp, limit, measured func()) {
	var ratios []float64
	for b.Loop() {
		setUp()
		limitTook, took := elapsed(limit), elapsed(measured)
		ratios = append(ratios, float64(limitTook)/float64(took))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	if bar > 0 {
		b.ReportMetric(bar, "bar")
	}
}

func elapsed(f func()) time.Duration {
	started := time.Now()
	f()
	return time.Since(started)
}
