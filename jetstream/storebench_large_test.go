package jetstream_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// largeVariable must be set for benchmarks that fill a stream for minutes; its
// value may be how many events, in place of a million.
const largeVariable = "EVIDENT_LARGE"

func largeEvents(b *testing.B) int {
	b.Helper()
	given := os.Getenv(largeVariable)
	if given == "" {
		b.Fatalf("run make bench-jetstream-large, which sets %s", largeVariable)
	}
	if n, err := strconv.Atoi(given); err == nil && n > 1 {
		return n
	}
	return 1_000_000
}

// OrderPlaced is an event of 200 bytes of JSON.
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

// BenchmarkStoreLoad loads aggregates whose events lie all over a log of 30,000.
func BenchmarkStoreLoad(b *testing.B) {
	server := natstest.Start(b)
	js := server.JetStream(b)
	config := jetstream.Config{Prefix: "evident"}
	newEvents(b, js, config)
	log := spreadOut(b, openEvents(b, js, config), 30_000, 2400, []group{{10, 20}, {100, 20}, {1000, 2}})
	benchLoads(b, server, js, log, config, limits{})
}

// BenchmarkLarge measures what a server needs for a million events of 80,000
// aggregates: memory, disk and time to start. Then it loads some of the
// aggregates. The server is in this process, so that its memory can be told from
// what is garbage.
func BenchmarkLarge(b *testing.B) {
	events := largeEvents(b)
	server := natstest.Start(b)
	js := server.JetStream(b)
	config := jetstream.Config{Prefix: "evident", DuplicateWindow: time.Second} // ids would take memory of their own
	newEvents(b, js, config)
	config.PublishTimeout = 10 * time.Second
	empty, started := restarted(b, server, js)

	begun := time.Now()
	log := spreadOut(b, openEvents(b, js, config), events, events*8/100, []group{{10, 200}, {100, 200}, {1000, 20}})
	filling := time.Since(begun)
	require.Less(b, filling, 5*time.Minute)
	b.Run("server", func(b *testing.B) {
		full, lasted := restarted(b, server, js)
		stream, err := js.Stream(b.Context(), "EVIDENT")
		require.NoError(b, err)
		stored := float64(stream.CachedInfo().State.Msgs)
		b.ReportMetric(stored/filling.Seconds(), "imported/s")
		b.ReportMetric((float64(full)-float64(empty))/stored, "live-B/event")
		b.ReportMetric(float64(stream.CachedInfo().State.Bytes)/stored, "disk-B/event")
		b.ReportMetric(lasted.Seconds(), "start-s")
		b.ReportMetric(started.Seconds(), "start-empty-s")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("replay", func(b *testing.B) {
		store := openEvents(b, js, config)
		begun := time.Now()
		readAll(b, store, log.events)
		b.ReportMetric(float64(log.events)/time.Since(begun).Seconds(), "events/s")
		b.ReportMetric(0, "ns/op")
	})
	benchLoads(b, server, js, log, config, limits{warm: 5, snapshot: 1})
}

// restarted stops the server and starts it again. It returns how much memory is
// in use then, and how long the start has taken until the stream's leader answers.
func restarted(b *testing.B, server *natstest.Server, js natsjs.JetStream) (heap uint64, lasted time.Duration) {
	b.Helper()
	server.Stop()
	begun := time.Now()
	server.Restart(b)
	for lasted == 0 {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		if _, err := js.Stream(ctx, "EVIDENT"); err == nil {
			lasted = time.Since(begun)
		}
		cancel()
	}
	const twice = 2 // what pools hold goes with the second
	for range twice {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, lasted
}

// group is some aggregates with so many events each.
type group struct{ events, aggregates int }

// spread is a log whose aggregates' events lie all over it.
type spread struct {
	events int
	groups []group
	ids    [][]uuid.UUID // of each group's aggregates
}

// spreadOut imports events of so many aggregates: those of the groups, and others
// that have the rest of the events.
func spreadOut(b *testing.B, store *jetstream.Store, events, aggregates int, groups []group) *spread {
	b.Helper()
	log := &spread{events: events, groups: groups}
	var ids []uuid.UUID
	order := make([]int, 0, events) // whose event is next
	for _, g := range groups {
		first := len(ids)
		for range g.aggregates {
			order = append(order, slices.Repeat([]int{len(ids)}, g.events)...)
			ids = append(ids, event.NewID())
		}
		log.ids = append(log.ids, slices.Clone(ids[first:]))
	}
	grouped := len(ids)
	for len(ids) < aggregates {
		ids = append(ids, event.NewID())
	}
	for i := 0; len(order) < events; i++ {
		order = append(order, grouped+i%(aggregates-grouped))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] }) // the same order each time
	stored, err := store.Import(b.Context(), imports(ids, order))
	require.NoError(b, err)
	require.Equal(b, events, stored)
	require.NoError(b, store.Close())
	return log
}

func imports(ids []uuid.UUID, order []int) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		versions := make([]uint64, len(ids))
		for _, at := range order {
			versions[at]++
			e := placed()
			e.AggregateType, e.AggregateID, e.AggregateVersion = "Order", ids[at], versions[at]
			if !yield(e, nil) {
				return
			}
		}
	}
}

// placed is an event that orders know.
func placed() event.Event {
	e := jotted(order)
	e.Type = OrderPlaced{}.EventType()
	return e
}

// limits are how long loads of 100 events may take, in milliseconds; 0 for as
// long as they like.
type limits struct{ warm, snapshot float64 }

// benchLoads loads aggregates of each group: right after the start of the server,
// once more, and from snapshots that are one event old.
func benchLoads(b *testing.B, server *natstest.Server, js natsjs.JetStream, log *spread, config jetstream.Config, most limits) {
	b.Helper()
	store := openEvents(b, js, config)
	plain, fromSnapshots := newOrders(b, store, nil), newOrders(b, store, store.Snapshots())
	for i, g := range log.groups {
		ids := log.ids[i]
		b.Run(fmt.Sprintf("events=%d", g.events), func(b *testing.B) {
			ctx := event.WithActor(b.Context(), event.User("1"))
			cold := coldLoad(b, server, js, plain, ids)
			medianLoad(b, plain, ids) // warms the server
			warm := medianLoad(b, plain, ids)
			takeSnapshots(ctx, b, fromSnapshots, plain, ids)
			snapshot := medianLoad(b, fromSnapshots, ids)
			coldSnapshot := coldLoad(b, server, js, fromSnapshots, ids)
			b.ReportMetric(warm, "warm-ms")
			b.ReportMetric(cold, "cold-ms")
			b.ReportMetric(snapshot, "snapshot-ms")
			b.ReportMetric(coldSnapshot, "cold-snapshot-ms")
			b.ReportMetric(0, "ns/op")
			if g.events == 100 && most.warm > 0 {
				require.Less(b, warm, most.warm, "milliseconds")
				require.Less(b, snapshot, most.snapshot, "milliseconds")
			}
		})
	}
	require.NoError(b, fromSnapshots.Close(b.Context()))
}

func newOrders(b *testing.B, store *jetstream.Store, kept aggregate.SnapshotStore) *aggregate.Repository[Order] {
	b.Helper()
	config := aggregate.Config{Snapshots: kept}
	if kept != nil {
		config.SnapshotPolicy = aggregate.EveryEvents(1)
	}
	repo, err := aggregate.NewRepositoryWith[Order](store, orders, config)
	require.NoError(b, err)
	return repo
}

// takeSnapshots adds two events to each aggregate, with a snapshot in between.
func takeSnapshots(ctx context.Context, b *testing.B, snapshots, plain *aggregate.Repository[Order], ids []uuid.UUID) {
	b.Helper()
	taken := snapshots.SnapshotStats().Written
	for _, id := range ids {
		for _, repo := range []*aggregate.Repository[Order]{snapshots, plain} {
			require.NoError(b, repo.Update(ctx, id, func(o *Order) error { return o.Emit(ctx, OrderPlaced{Total: 1}) }))
		}
	}
	want := taken + uint64(len(ids))
	require.Eventually(b, func() bool { return snapshots.SnapshotStats().Written >= want }, patience, tick)
}

// medianLoad loads each aggregate once, and returns the median in milliseconds.
func medianLoad(b *testing.B, repo *aggregate.Repository[Order], ids []uuid.UUID) float64 {
	b.Helper()
	times := make([]time.Duration, len(ids))
	for i, id := range ids {
		begun := time.Now()
		_, err := repo.Load(b.Context(), id)
		times[i] = time.Since(begun)
		require.NoError(b, err)
	}
	return median(times)
}

// coldLoad loads an aggregate right after the start of the server, and returns
// the median of a few such loads in milliseconds.
func coldLoad(b *testing.B, server *natstest.Server, js natsjs.JetStream, repo *aggregate.Repository[Order], ids []uuid.UUID) float64 {
	b.Helper()
	times := make([]time.Duration, min(5, len(ids)))
	for i := range times {
		restarted(b, server, js)
		begun := time.Now()
		_, err := repo.Load(b.Context(), ids[i])
		times[i] = time.Since(begun)
		require.NoError(b, err)
	}
	return median(times)
}

func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2]) / float64(time.Millisecond)
}
