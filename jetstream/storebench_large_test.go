package jetstream_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

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
	events := benchtest.Large(b, "bench-jetstream-large", 1_000_000)
	server := natstest.Start(b)
	js := server.JetStream(b)
	config := jetstream.Config{Prefix: "evident", DuplicateWindow: time.Second} // ids would take memory of their own
	newEvents(b, js, config)
	config.PublishTimeout = 10 * time.Second
	empty, started := restarted(b, server, js)

	begun := time.Now()
	log := spreadOut(b, openEvents(b, js, config), events, events*8/100, []group{{10, 200}, {100, 200}, {1000, 20}})
	filling := time.Since(begun)
	b.Run("server", func(b *testing.B) {
		var full uint64
		starts := make([]time.Duration, 5)
		for i := range starts {
			full, starts[i] = restarted(b, server, js)
		}
		stream, err := js.Stream(b.Context(), "EVIDENT")
		require.NoError(b, err)
		stored := float64(stream.CachedInfo().State.Msgs)
		b.ReportMetric(stored/filling.Seconds(), "imported/s")
		b.ReportMetric((float64(full)-float64(empty))/stored, "live-B/event")
		b.ReportMetric(float64(stream.CachedInfo().State.Bytes)/stored, "disk-B/event")
		slices.Sort(starts)
		b.ReportMetric(milliseconds(starts[len(starts)/2]), "start-ms")
		b.ReportMetric(milliseconds(started), "start-empty-ms")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("replay", func(b *testing.B) {
		store := openEvents(b, js, config)
		begun := time.Now()
		readAll(b, store, log.events)
		b.ReportMetric(float64(log.events)/time.Since(begun).Seconds(), "events/s")
		b.ReportMetric(0, "ns/op")
	})
	benchLoads(b, server, js, log, config, limits{warm: 5 * time.Millisecond, snapshot: time.Millisecond})
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

// limits are how long half of the loads of 100 events may take; 0 for as long as
// they like.
type limits struct{ warm, snapshot time.Duration }

func (l limits) of(events int) limits {
	if events != 100 {
		return limits{}
	}
	return l
}

// benchLoads loads aggregates of each group: right after the start of the server,
// once more, and from snapshots that are one event old.
func benchLoads(b *testing.B, server *natstest.Server, js natsjs.JetStream, log *spread, config jetstream.Config, most limits) {
	b.Helper()
	store := openEvents(b, js, config)
	plain, fromSnapshots := newOrders(b, store, nil), newOrders(b, store, store.Snapshots())
	for i, g := range log.groups {
		ids, most := log.ids[i], most.of(g.events)
		report := func(name string, times []time.Duration, most time.Duration) {
			b.Run(fmt.Sprintf("events=%d/%s", g.events, name), func(b *testing.B) { reportLoads(b, times, most) })
		}
		report("cold", coldLoads(b, server, js, plain, ids), 0)
		loads(b, plain, ids) // warms the server
		report("warm", loads(b, plain, ids), most.warm)
		takeSnapshots(b, fromSnapshots, plain, ids)
		report("snapshot", loads(b, fromSnapshots, ids), most.snapshot)
		report("cold-snapshot", coldLoads(b, server, js, fromSnapshots, ids), 0)
	}
	require.NoError(b, fromSnapshots.Close(b.Context()))
}

func reportLoads(b *testing.B, times []time.Duration, most time.Duration) {
	b.Helper()
	slices.Sort(times)
	median := times[len(times)/2]
	if most > 0 {
		b.ReportMetric(float64(most)/float64(median), "ratio")
		b.ReportMetric(1, "bar")
	}
	b.ReportMetric(milliseconds(median), "p50-ms")
	b.ReportMetric(milliseconds(times[len(times)*95/100]), "p95-ms")
	b.ReportMetric(0, "ns/op")
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
func takeSnapshots(b *testing.B, snapshots, plain *aggregate.Repository[Order], ids []uuid.UUID) {
	b.Helper()
	ctx := event.WithActor(b.Context(), event.User("1"))
	want := snapshots.SnapshotStats().Written + uint64(len(ids))
	for _, id := range ids {
		for _, repo := range []*aggregate.Repository[Order]{snapshots, plain} {
			require.NoError(b, repo.Update(ctx, id, func(o *Order) error { return o.Emit(ctx, OrderPlaced{Total: 1}) }))
		}
	}
	require.Eventually(b, func() bool { return snapshots.SnapshotStats().Written >= want }, patience, tick)
}

// loads returns how long each aggregate takes.
func loads(b *testing.B, repo *aggregate.Repository[Order], ids []uuid.UUID) []time.Duration {
	b.Helper()
	times := make([]time.Duration, len(ids))
	for i, id := range ids {
		begun := time.Now()
		_, err := repo.Load(b.Context(), id)
		times[i] = time.Since(begun)
		require.NoError(b, err)
	}
	return times
}

// coldLoads loads a few aggregates, each right after a start of the server.
func coldLoads(b *testing.B, server *natstest.Server, js natsjs.JetStream, repo *aggregate.Repository[Order], ids []uuid.UUID) []time.Duration {
	b.Helper()
	var times []time.Duration
	const few = 5
	for i := range min(few, len(ids)) {
		restarted(b, server, js)
		times = append(times, loads(b, repo, ids[i:i+1])...)
	}
	return times
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
