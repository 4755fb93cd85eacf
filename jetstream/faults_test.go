//go:build unix

package jetstream_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// runsVariable says how many clusters are disturbed in the long form.
const runsVariable = "EVIDENT_RUNS"

// storm is three servers that acknowledge nothing before their disks have
// confirmed it, eight writers, four subscribers, and what happens to the servers.
type storm struct {
	t       *testing.T
	cluster *natstest.Cluster
	config  jetstream.Config
	random  *rand.Rand
	book    *book
	hold    time.Duration // how long a fault lasts at least that the others can do without
	goal    int64         // so many events at least
	done    map[string]int
}

// TestChaosOfACluster has writers append to streams of their own and to shared
// ones while servers are killed, frozen and cut off, and answers are lost. What
// was acknowledged is there once and whole, in chains of versions without holes;
// what subscribers saw is that, in that order; each stream's history has an order
// in which every answer is right; and the servers' copies are equal.
//
// A leader that was cut off from the others or frozen takes itself for one for
// some seconds more. What it says by itself may be out of date, but was so once:
// what a read saw, and which version it was that stood in the way of an append. It
// says so to those who are connected to it, and when the others reach it again to
// anybody, until it has heard of the one that they follow.
func TestChaosOfACluster(t *testing.T) { //nolint:tparallel // one cluster after the other.
	t.Parallel()
	if os.Getenv(chaosVariable) == "" {
		weather(t, 0, 3_000, time.Second, []fault{cutOff(), killed()})
		return
	}
	for run := range runs(t) { //nolint:paralleltest // see above.
		t.Run(strconv.Itoa(run+1), func(t *testing.T) {
			weather(t, run, 50_000, 12*time.Second, faults())
		})
	}
}

func runs(t *testing.T) int {
	t.Helper()
	given, ok := os.LookupEnv(runsVariable)
	if !ok {
		return 10
	}
	n, err := strconv.Atoi(given)
	require.NoError(t, err, runsVariable)
	return n
}

// weather is one run.
func weather(t *testing.T, run int, goal int64, hold time.Duration, faults []fault) {
	t.Helper()
	began, seed := time.Now(), uint64(time.Now().UnixNano())
	s := &storm{
		t: t, cluster: natstest.StartCluster(t, natstest.SyncAlways(), natstest.WithNetwork()), hold: hold, goal: goal,
		config: jetstream.Config{Prefix: "evident", Replicas: 3, PublishTimeout: 500 * time.Millisecond},
		random: rand.New(rand.NewPCG(seed, 0)), book: &book{last: began}, done: make(map[string]int),
	}
	s.random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	check := newEvents(t, s.connect(s.cluster.URL()), s.config)
	subscribers, unsubscribe := s.subscribe()
	writers, stop := s.write()
	for _, f := range faults {
		s.awaitAll(writers)
		s.book.astray(nil)
		f.strike(s)
		s.done[f.name]++
	}
	s.awaitAll(writers)
	require.Eventually(t, func() bool { return s.book.events.Load() >= s.goal }, 10*time.Minute, tick)
	stop()
	s.judge(check, subscribers)
	unsubscribe()
	t.Logf("run %d, seed %d, %.0f s: %s; %s", run+1, seed, time.Since(began).Seconds(), s.book, s.faults())
}

// connect opens a connection of its own, which notices soon when its server is
// silent.
func (s *storm) connect(url string, options ...nats.Option) natsjs.JetStream {
	s.t.Helper()
	return natstest.Connect(s.t, url, append(options, nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2))...)
}

// stay opens a connection to one server that stays with it, whatever happens.
func (s *storm) stay(i int) natsjs.JetStream {
	s.t.Helper()
	return s.cluster.Servers[i%len(s.cluster.Servers)].JetStream(s.t, nats.IgnoreDiscoveredServers())
}

// stores are opened over connections of all kinds: some stay with a server, some
// look for another one, and of some answers are lost.
func (s *storm) stores() []*jetstream.Store {
	s.t.Helper()
	var all []*jetstream.Store
	for i := range len(s.cluster.Servers) {
		all = append(all, openEvents(s.t, s.stay(i), s.config), openEvents(s.t, s.connect(s.cluster.URL()), s.config))
	}
	for range 2 {
		w, js := overWire(s.t, s.cluster.JetStream)
		all = append(all, openEvents(s.t, js, s.config))
		w.tell(everyNth(23))
	}
	return all
}

// everyNth loses each nth acknowledgement.
func everyNth(n int) func(answer string) (string, bool) {
	acks := 0
	return func(answer string) (string, bool) {
		if isAck(answer) {
			acks++
		}
		return answer, isAck(answer) && acks%n == 0
	}
}

// write lets a writer append over each store until it is told to stop.
func (s *storm) write() (writers []*writer, stop func()) {
	s.t.Helper()
	stores := s.stores()
	stopped := make(chan struct{})
	var all sync.WaitGroup
	for i := range stores {
		w := &writer{
			index: i, book: s.book, stores: append(slices.Clone(stores[i:]), stores[:i]...), known: make(map[int]uint64),
			random: rand.New(rand.NewPCG(s.random.Uint64(), 0)), stopped: stopped,
		}
		writers = append(writers, w)
		all.Go(func() { assert.NoError(s.t, w.write(s.t.Context()), "writer %d", i) })
	}
	return writers, func() { close(stopped); all.Wait() }
}

// subscribe lets four subscribers follow the log.
func (s *storm) subscribe() (subscribers []*subscriber, stop func()) {
	s.t.Helper()
	const count = 4
	ctx, cancel := context.WithCancel(s.t.Context())
	var all sync.WaitGroup
	for i := range count {
		sub := &subscriber{stores: []*jetstream.Store{openEvents(s.t, s.stay(i), s.config), openEvents(s.t, s.connect(s.cluster.URL()), s.config)}}
		subscribers = append(subscribers, sub)
		all.Go(func() { assert.NoError(s.t, sub.follow(ctx), "subscriber %d", i) })
	}
	return subscribers, func() { cancel(); all.Wait() }
}

// await waits until so many more events were appended, by whomever.
func (s *storm) await(more int64) {
	s.t.Helper()
	before := s.book.events.Load()
	require.Eventually(s.t, func() bool { return s.book.events.Load() >= before+more }, patience, tick, "nothing is appended any more")
}

// awaitAll waits until every writer has appended again.
func (s *storm) awaitAll(writers []*writer) {
	s.t.Helper()
	const more = 3
	for _, w := range writers {
		before := w.stored.Load()
		require.Eventually(s.t, func() bool { return w.stored.Load() >= before+more }, patience, tick, "writer %d appends nothing any more", w.index)
	}
}

func (s *storm) faults() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.done)) {
		all = append(all, fmt.Sprintf("%d × %s", s.done[name], name))
	}
	return strings.Join(all, ", ")
}
