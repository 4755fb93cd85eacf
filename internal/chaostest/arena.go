//go:build unix

package chaostest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// Arena is a store, as the test sees it, that processes run projections on.
type Arena struct {
	Store   eventstore.Store
	Address string // of the store, for processes
	Lanes   int    // that each projection has
	// Slow is what a handler takes for an event at the most: so long that a process
	// that is killed or frozen has often a transaction in hand.
	Slow time.Duration
	// Pace is how long the writer waits between two appends, of two events each on
	// average.
	Pace time.Duration
	// Look returns what is there besides events, all at one moment; of the effects
	// those of one owner, or all if owner is "". Who asks for those of Nobody wants
	// leases and checkpoints only.
	Look func(ctx context.Context, owner string) (State, error)
	// Apart says that effects and tallies are not where the checkpoints are, so
	// that they are promised at least once only. Then each effect has the event for
	// its key, each tally tells by its position what is in it, and Look may take
	// several moments: for checkpoints first, then letters, then all others.
	Apart bool
	// Short is for how long a cluster is disturbed if nobody says for how long.
	Short time.Duration
	// Strike, if it is not nil, kills something else, and returns what brings it
	// back. It is called now and then.
	Strike func() (heal func())
}

// Nobody is an owner without effects.
const Nobody = "nobody"

// game is what a test does in an arena.
type game struct {
	Arena

	t       *testing.T
	folder  string
	streams []eventstore.Stream
	sent    atomic.Uint64 // events
	poison  atomic.Uint64 // the number that the last one got
	healed  uint64
}

func newGame(t *testing.T, a Arena) *game {
	t.Helper()
	g := &game{Arena: a, t: t, folder: t.TempDir()}
	g.heal(0)
	const perLane = 2
	for lane := range a.Lanes {
		for range perLane {
			g.streams = append(g.streams, streamIn(lane, a.Lanes))
		}
	}
	t.Cleanup(g.complain)
	return g
}

// streamIn returns a new stream that falls into a lane.
func streamIn(lane, lanes int) eventstore.Stream {
	for {
		s := eventstore.Stream{AggregateType: "Counter", AggregateID: uuid.New()}
		if projection.LaneOf(s.String(), lanes) == lane {
			return s
		}
	}
}

// complain shows what processes complained about, if the test has failed.
func (g *game) complain() {
	if !g.t.Failed() {
		return
	}
	const most = 20_000
	text, err := os.ReadFile(g.file("complaints"))
	g.t.Logf("complaints of processes (%v):\n%s", err, text[max(0, len(text)-most):])
}

func (g *game) file(name string) string { return filepath.Join(g.folder, name) }

// job returns what a process is to do.
func (g *game) job(owner string, ttl time.Duration) Job {
	return Job{
		Address: g.Address, Owner: owner, Lanes: g.Lanes, Lease: ttl, Slow: g.Slow,
		Healed: g.file("healed"), Lines: g.file("lines"),
	}
}

// heal heals poison up to a number. The file is replaced, so that nobody reads
// half of it.
func (g *game) heal(n uint64) {
	g.healed = n
	fresh := g.file("healed.new")
	require.NoError(g.t, os.WriteFile(fresh, []byte(strconv.FormatUint(n, 10)), 0o600))
	require.NoError(g.t, os.Rename(fresh, g.file("healed")))
}

// write appends until the returned function is called. About one event in
// twenty is poison.
func (g *game) write() (stop func()) {
	ctx, cancel := context.WithCancel(g.t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		tick := time.NewTicker(g.Pace)
		defer tick.Stop()
		for ctx.Err() == nil {
			g.append(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() { cancel(); writing.Wait() }
}

// append appends some events to a stream, until the store has them.
func (g *game) append(ctx context.Context) {
	var events []event.Event
	for range 1 + rand.IntN(3) {
		p := counted{N: g.sent.Add(1)}
		if rand.IntN(20) == 0 {
			p.Poison = g.poison.Add(1)
		}
		e, err := event.New(ctx, p)
		if err != nil {
			g.t.Errorf("new event: %v", err)
			return
		}
		events = append(events, e)
	}
	a := eventstore.Append{Stream: g.streams[rand.IntN(len(g.streams))], Events: events}
	for {
		_, err := g.Store.Append(context.WithoutCancel(ctx), a) // the same again is stored once
		if err == nil {
			return
		}
		if !eventstore.IsRetryable(err) {
			g.t.Errorf("append: %v", err)
			return
		}
	}
}

// log returns all events.
func (g *game) log() []Entry {
	var log []Entry
	for e, err := range g.Store.ReadAll(g.t.Context(), eventstore.Query{}) {
		require.NoError(g.t, err)
		entry, err := EntryOf(e)
		require.NoError(g.t, err)
		log = append(log, entry)
	}
	return log
}

// look returns what is there besides events. While processes are in its way it tries again.
func (g *game) look(owner string) State {
	for began := time.Now(); ; {
		s, err := g.Look(g.t.Context(), owner)
		if err == nil {
			return s
		}
		if !eventstore.IsRetryable(err) || time.Since(began) > patience {
			require.NoError(g.t, err)
		}
	}
}

// judge holds what the store has at this moment against the log.
func (g *game) judge(when string) State {
	g.t.Helper()
	s := g.look("") // first: what comes later is above its checkpoints
	lines, err := os.ReadFile(g.file("lines"))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(g.t, err)
	}
	judge := s.judge
	if g.Apart {
		judge = s.judgeApart
	}
	require.Empty(g.t, judge(g.log(), parseLines(string(lines)), g.Lanes), when)
	return s
}

// patience is how long processes may take to come up, or to get on.
const patience = time.Minute

// left says what is left to do up to a position; "" for nothing.
func (g *game) left(position uint64) string { return g.look("").behind(position, g.Lanes) }

// finish heals everything, waits until a process that runs has applied all, for as
// long as it gets on, and judges.
func (g *game) finish() {
	g.heal(g.poison.Load())
	head, err := g.Store.Head(g.t.Context())
	require.NoError(g.t, err)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	since, before := time.Now(), ""
	for left := g.left(head); left != ""; left = g.left(head) {
		if left != before {
			since, before = time.Now(), left
		}
		require.Less(g.t, time.Since(since), patience, left)
		<-tick.C
	}
	s := g.judge("in the end")
	require.Len(g.t, s.Effects, len(g.log()), "every event once")
	complaints, err := os.ReadFile(g.file("complaints"))
	require.NoError(g.t, err)
	const most = 2_000
	for _, words := range []string{"DATA RACE", "fatal error:", "chaos:"} {
		if _, about, found := strings.Cut(string(complaints), words); found {
			require.Fail(g.t, words, about[:min(len(about), most)])
		}
	}
}

func (g *game) String() string {
	return fmt.Sprintf("%d events, %d of them poison", g.sent.Load(), g.poison.Load())
}
