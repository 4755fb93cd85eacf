//go:build unix

package chaostest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/projection"
)

// chaosVariable says how long a cluster is disturbed, for example 60s.
const chaosVariable = "EVIDENT_CHAOS"

func lasting(t *testing.T, short time.Duration) time.Duration {
	t.Helper()
	given := os.Getenv(chaosVariable)
	if given == "" {
		return short
	}
	d, err := time.ParseDuration(given)
	require.NoError(t, err, chaosVariable)
	return d
}

const (
	members = 4
	ttl     = time.Second // of leases
	settle  = time.Second // until a process that came up is counted on
)

// Way is how a process reaches its store.
type Way struct {
	// Address is that of the store for this process.
	Address string
	// Cut cuts the process off until heal is called: its connections are closed,
	// or, silently, swallow everything. Nil if that is not possible.
	Cut func(silently bool) (heal func())
}

// Cluster runs projections in four processes, and kills, stops, freezes and cuts
// them off at random while events are appended; one at least is left alone at
// any time. No effect may be missing or there twice, those of a stream must be
// in order, a process that was frozen through its lease must write nothing when
// it wakes, another must have taken over a second after the lease had ended at
// the latest, and in quiet times lanes must be spread evenly.
//
// A frozen process may hold the one lock of a file that allows only one writer;
// then exclusive is true, and the time until it wakes does not count.
func Cluster(t *testing.T, a Arena, exclusive bool, ways [members]Way) {
	t.Helper()
	c := &cluster{game: newGame(t, a), done: make(map[string]int)}
	for i, way := range ways {
		c.members[i] = &member{way: way, index: i}
	}
	c.watch = newWatch(c.game, exclusive)
	stop, unwatch := c.write(), c.watch.run(t.Context())
	for _, m := range c.members {
		c.raise(m)
	}
	c.quiet("at first")
	c.disturb(lasting(t, a.Short))
	c.quiet("in the end")
	stop()
	c.finish()
	unwatch()
	c.report()
}

// cluster is four processes and what happens to them.
type cluster struct {
	*game

	members [members]*member
	watch   *watch

	mu     sync.Mutex
	done   map[string]int // what happened how often
	coming sync.RWMutex   // read-locked while a process comes up, locked while none could
}

// member is one of the processes, whichever incarnation.
type member struct {
	way   Way
	index int
	lives int
	proc  *process
	since time.Time // when it came up; zero while something happens to it
}

// raise starts a member's next incarnation, and waits until it runs.
func (c *cluster) raise(m *member) {
	job := c.job(fmt.Sprintf("member-%d.%d", m.index, m.lives), ttl)
	job.Address = m.way.Address
	m.lives++
	c.coming.RLock()
	defer c.coming.RUnlock()
	p := start(c.t, job)
	up := within(patience, p.ready)
	assert.True(c.t, up, "a process does not come up")
	c.mu.Lock()
	defer c.mu.Unlock()
	m.proc, m.since = p, time.Now()
}

// recovered says that a member can be counted on again.
func (c *cluster) recovered(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.since = time.Now()
}

// victim takes one of the members that can be counted on; nil if that would
// leave none.
func (c *cluster) victim() *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var well []*member
	for _, m := range c.members {
		if !m.since.IsZero() && time.Since(m.since) >= settle {
			well = append(well, m)
		}
	}
	if len(well) < 2 {
		return nil
	}
	m := well[rand.IntN(len(well))]
	m.since = time.Time{}
	return m
}

// disturb lets something happen to somebody all the time.
func (c *cluster) disturb(lasting time.Duration) {
	over := make(chan struct{})
	timer := time.AfterFunc(lasting, func() { close(over) })
	defer timer.Stop()
	var disturbing sync.WaitGroup
	defer disturbing.Wait()
	for !within(100*time.Millisecond+rand.N(300*time.Millisecond), over) {
		c.heal(c.healed + rand.Uint64N(c.poison.Load()-c.healed+1))
		if m := c.victim(); m != nil {
			disturbing.Go(func() { c.happen(m) })
		}
		if c.Strike != nil && rand.IntN(10) == 0 {
			c.strikeAll()
		}
	}
}

// strikeAll kills what all processes need, for a moment.
func (c *cluster) strikeAll() {
	c.coming.Lock()
	defer c.coming.Unlock()
	c.count("strike", 1)
	heal := c.Strike()
	pause(rand.N(ttl / 2))
	heal()
}

// happen lets something happen to a member, and waits until it is well again.
func (c *cluster) happen(m *member) {
	what := []string{"kill", "kill", "freeze", "freeze", "stop"}
	if m.way.Cut != nil {
		what = append(what, "cut off", "swallow")
	}
	one := what[rand.IntN(len(what))]
	c.count(one, 1)
	switch one {
	case "kill":
		m.proc.kill()
		pause(rand.N(2 * ttl))
		c.raise(m)
	case "stop":
		m.proc.stop(c.t)
		pause(rand.N(ttl))
		c.raise(m)
	case "freeze":
		c.freeze(m)
		c.recovered(m)
	default:
		heal := m.way.Cut(one == "swallow")
		pause(ttl/4 + rand.N(2*ttl))
		heal()
		c.recovered(m)
	}
}

// freeze has a member sleep through its leases, and sees to it that it writes
// nothing when it wakes in lanes that are another's by then: of which another has
// claimed the checkpoint.
func (c *cluster) freeze(m *member) {
	if err := m.proc.freeze(); err != nil {
		c.t.Errorf("freeze: %v", err)
		return
	}
	pause(ttl + ttl/4 + rand.N(ttl))
	owner := m.proc.job.Owner
	before := c.look(owner)
	taken := make(map[int]uint64) // fences of lanes that another has a lease for
	for _, l := range before.Leases {
		if name, lane, ok := laneOf(l.Name); ok && name == Effects && l.Owner != owner && l.Owner != "" {
			taken[lane] = l.Fence
		}
	}
	c.watch.wakes()
	if err := m.proc.thaw(); err != nil {
		c.t.Errorf("thaw: %v", err)
		return
	}
	c.guard(owner, before, taken)
}

// guard looks at what an owner writes that has slept, until the lanes that were
// taken from it are its own again. What it commits before the next owner has
// claimed the checkpoint is late, but takes effect once. Effects that are apart
// from the checkpoint are not kept from being late, and come again.
func (c *cluster) guard(owner string, before State, taken map[int]uint64) {
	written, late := c.byLane(before), 0
	for began := time.Now(); len(taken) > 0 && time.Since(began) < 2*ttl; pause(20 * time.Millisecond) {
		after := c.look(owner)
		for _, l := range after.Leases {
			name, lane, ok := laneOf(l.Name)
			if fence, is := taken[lane]; ok && is && name == Effects && (l.Owner == owner || l.Fence > fence+1) {
				delete(taken, lane) // it is, or may have been, its own again
			}
		}
		for lane, n := range c.byLane(after) {
			fence, is := taken[lane]
			switch claimed := before.Checkpoints[Effects][lane].Fence >= fence; {
			case is && claimed && n != written[lane] && !c.Apart:
				c.t.Errorf("%s has written to lane %d after it slept through its lease", owner, lane)
				return
			case is && n > written[lane]:
				late += n - written[lane]
				written[lane] = n
			}
		}
	}
	c.count("committed late", late)
}

// count adds to how often something happened.
func (c *cluster) count(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.done[what] += n
	}
}

// byLane counts effects.
func (c *cluster) byLane(s State) map[int]int {
	n := make(map[int]int)
	for _, e := range s.Effects {
		n[c.laneOf(e)]++
	}
	return n
}

// laneOf returns the lane that an effect's stream falls into.
func (g *game) laneOf(e Effect) int {
	for _, s := range g.streams {
		if s.AggregateID == e.Stream {
			return projection.LaneOf(s.String(), g.Lanes)
		}
	}
	return -1
}

// quiet waits until the lanes of each projection are spread evenly.
func (c *cluster) quiet(when string) {
	uneven := "nothing was looked at"
	assert.Eventually(c.t, func() bool {
		uneven = c.uneven()
		return uneven == ""
	}, 15*ttl, 50*time.Millisecond)
	assert.Empty(c.t, uneven, when)
}

// uneven says which projection's lanes are not spread evenly; "" if all are.
func (c *cluster) uneven() string {
	held := map[string]map[string]int{Effects: {}, Tallies: {}, Outside: {}}
	for _, l := range c.look(Nobody).Leases {
		if name, _, ok := laneOf(l.Name); ok && l.Owner != "" && time.Now().Before(l.ExpiresAt) {
			held[name][l.Owner]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		sum := 0
		for _, m := range c.members {
			n := held[name][m.proc.job.Owner]
			sum += n
			if n < c.Lanes/members || n > (c.Lanes+members-1)/members {
				return fmt.Sprintf("%s is run by %v", name, held[name])
			}
		}
		if sum != c.Lanes {
			return fmt.Sprintf("%s is run by %v", name, held[name])
		}
	}
	return ""
}

// report says what has happened, and how long lanes were nobody's.
func (c *cluster) report() {
	var words []string
	for _, what := range slices.Sorted(maps.Keys(c.done)) {
		words = append(words, fmt.Sprintf("%d × %s", c.done[what], what))
	}
	c.t.Logf("%s; %s; %s", c.game, strings.Join(words, ", "), c.watch.summary())
	assert.NotEmpty(c.t, c.watch.takeovers, "nobody has taken over anything: this proves nothing")
}

// laneOf returns which lane of which projection a lease is for, and whether it
// is for one at all.
func laneOf(name string) (p string, lane int, ok bool) {
	name, ok = strings.CutPrefix(name, "projection/")
	words := strings.Fields(name)
	if !ok || len(words) < 2 {
		return "", 0, false
	}
	if len(words) == 4 {
		if _, err := fmt.Sscanf(words[3], "%d", &lane); err != nil {
			return "", 0, false
		}
	}
	return words[0], lane, true
}
