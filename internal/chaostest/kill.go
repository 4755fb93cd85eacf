//go:build unix

package chaostest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/lease"
)

// killsVariable says how often [Kill] kills.
const killsVariable = "EVIDENT_KILLS"

// kills returns how often to kill: 10 times, if nobody says otherwise.
func kills(t *testing.T) int {
	t.Helper()
	given := os.Getenv(killsVariable)
	if given == "" {
		return 10
	}
	n, err := strconv.Atoi(given)
	require.NoError(t, err, killsVariable)
	return n
}

// Kill runs projections in one process after the other, and kills each at a
// random moment while events are appended, some of which are poison and heal.
// Each time the read models are those of a fresh replay up to their checkpoints.
// On a slow machine, where processes die before they have done anything, it
// kills more often.
func Kill(t *testing.T, a Arena) {
	t.Helper()
	g := newGame(t, a)
	stop := g.write()
	defer stop()
	const ttl = 200 * time.Millisecond
	early, parked, moved := 0, 0, 0
	var before uint64
	n, kill := kills(t), 0
	for ; kill < n || kill < 10*n && (parked == 0 || moved <= n/5); kill++ { // until it proves something
		p := start(t, g.job(fmt.Sprintf("runner-%d", kill), ttl))
		if !g.letLive(p, before) {
			early++
		} else if g.Strike != nil && kill%5 == 0 {
			g.strike(p)
		}
		p.kill()
		s := g.judge(fmt.Sprintf("after kill %d", kill+1))
		parked += count(len(s.Letters[Effects]) > 0)
		done := s.done()
		moved += count(done > before)
		before = done
		if kill%4 == 3 && parked > 0 { // not before anything was parked: on a slow machine all might be well before a process comes to it
			g.heal(g.healed + rand.Uint64N(g.poison.Load()-g.healed+1))
		}
	}
	stop()
	p := start(t, g.job("last", 10*ttl)) // nobody waits for its lease, and a busy machine may not renew a short one in time
	g.finish()
	p.stop(t)
	t.Logf("%s; %d kills, %d of them before the runner ran, %d while letters were parked, %d after progress", g, kill, early, parked, moved)
	assert.Positive(t, parked, "nothing was ever parked: this proves nothing")
	assert.Greater(t, moved, n/5, "the processes have done too little to prove anything")
}

// strike kills something else while a process runs.
func (g *game) strike(p *process) {
	heal := g.Strike()
	within(rand.N(100*time.Millisecond), p.gone)
	heal()
	within(rand.N(100*time.Millisecond), p.gone)
}

// letLive waits for a random moment in the life of a process, most often when
// it has work in hand, and every other time after it has come further than the
// one before. It reports whether the process has begun to run.
func (g *game) letLive(p *process, before uint64) bool {
	if rand.IntN(10) == 0 {
		return within(rand.N(100*time.Millisecond), p.ready)
	}
	require.True(g.t, within(patience, p.ready), "a process does not come up")
	for began := time.Now(); !g.owns(p); {
		require.False(g.t, within(5*time.Millisecond, p.gone), "a process has ended by itself")
		require.Less(g.t, time.Since(began), patience, "a process gets no lane")
	}
	if rand.IntN(2) == 0 {
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); within(10*time.Millisecond, p.gone) {
			if s := g.look(p.job.Owner); s.done() > before {
				break
			}
		}
	}
	within(rand.N(200*time.Millisecond), p.gone)
	return true
}

// owns reports whether a process has the lease of a lane.
func (g *game) owns(p *process) bool {
	return slices.ContainsFunc(g.look(p.job.Owner).Leases, func(l lease.Lease) bool {
		return l.Owner == p.job.Owner && strings.HasPrefix(l.Name, "projection/")
	})
}
