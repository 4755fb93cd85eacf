//go:build unix

package chaostest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
)

// watch follows the leases in the store, and notes how long a lane was nobody's.
type watch struct {
	game      *game
	exclusive bool // a frozen process may keep all others from writing

	mu        sync.Mutex
	seen      map[string]lease.Lease
	looks     []time.Time          // when the store was looked at
	released  map[string]time.Time // when a lease was first seen given up
	woken     []time.Time          // when processes were that had been frozen
	ends      map[lease.Lease]bool // of leases by which a process shows that it is there, and was not
	takeovers []*takeover
	handovers []time.Duration
}

// takeover is how a lane went from an owner whose lease had ended to another.
type takeover struct {
	projection string
	lane       int
	from, to   string // owners
	expired    time.Time
	taken      time.Time
	position   uint64    // of the checkpoint when it was seen
	moved      time.Time // when the checkpoint had moved
}

func (t *takeover) gap() time.Duration { return t.taken.Sub(t.expired) }

func newWatch(g *game, exclusive bool) *watch {
	return &watch{game: g, exclusive: exclusive, seen: make(map[string]lease.Lease), released: make(map[string]time.Time), ends: make(map[lease.Lease]bool)}
}

// run watches until stop is called.
func (w *watch) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			s, err := w.game.Look(ctx, Nobody)
			if err == nil {
				w.see(s)
			} else if ctx.Err() == nil && !eventstore.IsRetryable(err) {
				w.game.t.Errorf("look: %v", err)
				return
			}
			pause(20 * time.Millisecond)
		}
	})
	return func() { cancel(); watching.Wait() }
}

func (w *watch) see(s State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks = append(w.looks, time.Now())
	w.seeMoves(s)
	for _, l := range s.Leases {
		if strings.HasPrefix(l.Name, "member/") && l.Owner != "" && time.Now().After(l.ExpiresAt) {
			w.ends[l] = true
		}
		before, known := w.seen[l.Name]
		w.seen[l.Name] = l
		if l.Owner == "" && (!known || before.Owner != "") {
			w.released[l.Name] = time.Now()
		}
		name, lane, ok := laneOf(l.Name)
		if !ok || !known || l.Fence == before.Fence && l.Owner == before.Owner {
			continue
		}
		taken := l.ExpiresAt.Add(-ttl)
		switch {
		case l.Owner == "":
		case before.Owner == "":
			w.handovers = append(w.handovers, max(0, taken.Sub(w.released[l.Name])))
		default:
			w.takeovers = append(w.takeovers, &takeover{
				projection: name, lane: lane, from: before.Owner, to: l.Owner,
				expired: w.since(before.ExpiresAt, taken), taken: taken, position: s.Checkpoints[name][lane].Position,
			})
		}
	}
}

// seeMoves notes when lanes that were taken over have moved on.
func (w *watch) seeMoves(s State) {
	for _, t := range w.takeovers {
		if t.moved.IsZero() && s.Checkpoints[t.projection][t.lane].Position > t.position {
			t.moved = time.Now()
		}
	}
}

// since returns when others could take over a lease that has expired: at once;
// or when a second process, for which the lane was meant and which was disturbed
// meanwhile, was not expected any more; or when nobody who was frozen could hold
// them up any more.
func (w *watch) since(expired, taken time.Time) time.Time {
	from := expired
	later := func(at time.Time) {
		if at.After(from) && at.Before(taken) {
			from = at
		}
	}
	for l := range w.ends {
		later(l.ExpiresAt)
	}
	if w.exclusive {
		for _, at := range w.woken {
			later(at)
		}
	}
	return from
}

// wakes notes that a process that was frozen goes on.
func (w *watch) wakes() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken = append(w.woken, time.Now())
}

// stall returns the longest time in which not even the store could be looked at
// while a lane was nobody's: as long this machine had no time for anybody.
func (w *watch) stall(t *takeover) (longest time.Duration) {
	for i := 1; i < len(w.looks); i++ {
		if w.looks[i].After(t.expired) && w.looks[i-1].Before(t.taken) {
			longest = max(longest, w.looks[i].Sub(w.looks[i-1]))
		}
	}
	return longest
}

// slowest is how long after the end of a lease another process may take it.
const slowest = time.Second

// summary says how long lanes were nobody's, and how long they stood still.
// It fails the test if one was for too long.
func (w *watch) summary() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var gaps, idle []time.Duration
	for _, t := range w.takeovers {
		assert.LessOrEqual(w.game.t, t.gap(), slowest+w.stall(t), "lane %d of %s went from %s to %s", t.lane, t.projection, t.from, t.to)
		gaps = append(gaps, t.gap())
		if !t.moved.IsZero() {
			idle = append(idle, t.moved.Sub(t.expired))
		}
	}
	return fmt.Sprintf("%d leases were taken over %s after their end, and their lanes moved %s after it; %d that were given up were taken %s later",
		len(gaps), spread(gaps), spread(idle), len(w.handovers), spread(w.handovers))
}

func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "never"
	}
	slices.Sort(d)
	return fmt.Sprintf("%s (at most %s)", d[len(d)/2].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond))
}
