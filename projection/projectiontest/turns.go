package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

// append stores some events, of which now and then one is poison to somebody.
func (g *game) append() {
	n := 1 + g.random.IntN(3)
	last := g.h.append(g.t, g.streams[g.random.IntN(len(g.streams))], n)
	if g.random.IntN(4) == 0 {
		g.any().sicken(last - uint64(g.random.IntN(n)))
	}
}

func (g *game) heal() { g.any().heal(1 + g.random.IntN(3)) }

func (g *game) outage() { g.any().breakDown(1 + g.random.IntN(4)) }

// tick lets time pass, so that redrives come due.
func (g *game) tick() {
	g.now.pass(time.Duration(1+g.random.IntN(4000)) * time.Second)
}

// start returns a process for some players, with settings as they come.
func (g *game) start(f *fate, players ...*player) *process {
	ctx, cancel := context.WithCancel(g.t.Context())
	f.end = cancel
	p := &process{Progress: g.h.progress(), fate: f, ctx: ctx}
	config := g.config()
	for _, one := range players {
		config.Projections = append(config.Projections, one.ledger.Projection)
	}
	config.Progress = p
	var err error
	p.runner, err = projection.NewRunner(&fatedEvents{Store: g.h.Store, fate: f}, config)
	require.NoError(g.t, err)
	return p
}

func (g *game) config() projection.Config {
	config := quick()
	config.Now = g.now.time
	config.LeaseTTL = 2 * time.Second // how often a runner looks round depends on it
	config.BatchSize = 1 + g.random.IntN(8)
	config.Retry.MaxAttempts = 1 + g.random.IntN(2)
	config.Redrive = projection.Retry{MaxAttempts: 2 + g.random.IntN(20), First: time.Second, Most: time.Hour}
	return config
}

// fate returns what may become of a process: nothing, a call that fails, or its end.
func (g *game) fate() *fate {
	if g.random.IntN(2) == 0 {
		return &fate{}
	}
	return doomed(1+g.random.IntN(40), mishap(g.random.IntN(int(mishaps))))
}

// run has a process catch one player up, which may fail on its way.
func (g *game) run() {
	p, f := g.any(), g.fate()
	proc := g.start(f, p)
	if g.random.IntN(4) == 0 {
		p.doomIn(1+g.random.IntN(5), f.kill)
	}
	g.over(proc, proc.runner.RunUntilCaughtUp(proc.ctx))
	p.doomIn(0, nil)
}

// over ends a process, which had to end with a bearable error. A lease that it
// could not give up comes to its end.
func (g *game) over(proc *process, err error) {
	g.bearable(proc, err)
	if proc.fate.mayHurt() {
		g.expire()
	}
	proc.fate.kill()
}

// bearable requires that an error is one that a process may have.
func (g *game) bearable(proc *process, err error) {
	cancelled := errors.Is(err, errSick) && errors.Is(err, context.Canceled) // which ends a command
	if !broken(err) && !cancelled && !isAny(err, errDown, dlq.ErrFull, dlq.ErrNotFound, lease.ErrHeld) && !proc.fate.isDead() {
		assert.NoError(g.t, err)
	}
}

// broken reports whether an error is one that the game has made of a call.
func broken(err error) bool { return isAny(err, errRefused, errUnanswered, errDead) }

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// expire ends the leases of processes that are gone, as the end of their time would.
func (g *game) expire() {
	leases := g.h.progress().Leases()
	l, ok := leases.(interface {
		List(ctx context.Context, prefix string) ([]lease.Lease, error)
	})
	if !ok {
		for _, p := range g.players {
			g.h.endLease(g.t, p.name)
		}
		return
	}
	held, err := l.List(g.t.Context(), "")
	require.NoError(g.t, err)
	for _, one := range held {
		require.NoError(g.t, leases.Release(g.t.Context(), one))
	}
}

// endLease ends a projection's lease behind its owner's back, if it has one.
func (h Harness) endLease(t T, name string) {
	leases := h.progress().Leases()
	key := checkpoint.Key{Projection: name, Version: 1}
	taken, err := leases.Acquire(t.Context(), "projection/"+key.String(), "thief", time.Minute)
	if held, ok := errors.AsType[*lease.HeldError](err); ok {
		taken, err = held.Lease, nil
	}
	require.NoError(t, err)
	require.NoError(t, leases.Release(t.Context(), taken))
}

// redrive tries one parked sequence again by command, or all.
func (g *game) redrive() {
	p := g.any()
	keys := g.someKeys(p)
	proc := g.start(g.fate(), p)
	_, err := proc.runner.Redrive(proc.ctx, p.name, keys...)
	g.over(proc, p.unlessOrdered(err))
}

// someKeys returns none, for all, or the key of one parked sequence.
func (g *game) someKeys(p *player) []string {
	parked := g.h.sequences(g.t, p.name)
	if len(parked) == 0 || g.random.IntN(2) == 0 {
		return nil
	}
	return []string{parked[g.random.IntN(len(parked))].Sequence.Key}
}

// discard takes the first letter of a sequence out.
func (g *game) discard() {
	p := g.any()
	proc := g.start(g.fate(), p)
	g.over(proc, g.discardBy(proc, p))
}

func (g *game) discardBy(proc *process, p *player) error {
	parked := g.h.sequences(g.t, p.name)
	if len(parked) == 0 || p.ordered != "" { // whether an order was first nobody could tell
		return nil
	}
	key := parked[g.random.IntN(len(parked))].Sequence.Key
	p.discards[key]++
	return proc.runner.Discard(event.WithActor(proc.ctx, event.User("ops")), p.name, key, "the game says so")
}

// rebuild rebuilds a player; now and then the first try is killed.
func (g *game) rebuild() {
	p := g.any()
	if p.ordered != "" {
		return
	}
	if g.random.IntN(2) == 0 {
		proc := g.start(doomed(1+g.random.IntN(8), killedBefore), p)
		g.over(proc, proc.runner.Reset(proc.ctx, p.name))
	}
	g.persist(p, func(proc *process) error { return proc.runner.Rebuild(proc.ctx, p.name) })
	p.reached = nil
	g.forget(p)
}

// asleep has a process do a job in the background, and stops it in front of one
// of its first steps: a transaction, or emptying a target outside of the store. What happens meanwhile is up to the caller; wake
// lets the job go on and returns its error. It is nil if the job ended before.
func (g *game) asleep(p *player, job func(proc *process) error) (proc *process, wake func() error) {
	f := &fate{}
	f.freezeIn(1 + g.random.IntN(3))
	proc = g.start(f, p)
	p.sleepBy(f)
	done := make(chan error, 1)
	go func() { done <- job(proc) }()
	defer p.sleepBy(nil)
	select {
	case <-f.frozen:
		return proc, func() error {
			close(f.thaw)
			return <-done
		}
	case err := <-done:
		g.over(proc, err)
		return proc, nil
	}
}

// freeze has a process sleep through its lease while another does its work.
// When it wakes it must not write what it had in hand. A process of several lanes
// sleeps in one of them only: what the others still write to a target outside,
// while another process empties it, nobody can take back.
func (g *game) freeze() {
	p := g.any()
	outside := p.ledger.Projection.Guarantee() != projection.ExactlyOnce
	if outside && len(g.h.reached(g.t, p.name)) > 1 && p.ordered != "" {
		return
	}
	g.append()
	proc, wake := g.asleep(p, func(proc *process) error { return proc.runner.RunUntilCaughtUp(proc.ctx) })
	if wake == nil {
		return
	}
	g.takeOver(p)
	g.over(proc, wake())
}

// takeOver has another process do the work of one that sleeps.
func (g *game) takeOver(p *player) {
	g.expire()
	other := g.start(&fate{}, p)
	g.over(other, other.runner.RunUntilCaughtUp(other.ctx))
}

// freezeRedrive has a process sleep in a redrive. When it wakes, the projection
// is another's, and nothing may come of the redrive at all. That of several
// lanes goes on with the next.
func (g *game) freezeRedrive() {
	p := g.any()
	if len(g.h.reached(g.t, p.name)) > 1 || p.ordered != "" {
		return
	}
	proc, wake := g.asleep(p, func(proc *process) error {
		_, err := proc.runner.Redrive(proc.ctx, p.name)
		return err
	})
	if wake == nil {
		return
	}
	g.takeOver(p)
	before := g.score(p)
	_ = wake() // it may say that it lost its turn, or that nothing was left to do
	after := g.score(p)
	assert.Equal(g.t, before.lines, after.lines, "written by a process that slept through its lease")
	assert.Equal(g.t, before.letters, after.letters, "changed by a process that slept through its lease")
	proc.fate.kill()
}

// dawdle has a process be slow, while another discards all letters of a
// sequence behind its back.
func (g *game) dawdle() {
	p := g.any()
	g.append()
	proc, wake := g.asleep(p, func(proc *process) error { return proc.runner.RunUntilCaughtUp(proc.ctx) })
	if wake == nil {
		return
	}
	other := g.start(&fate{}, p)
	if parked := g.h.sequences(g.t, p.name); len(parked) > 0 && p.ordered == "" {
		one := parked[g.random.IntN(len(parked))]
		for range one.Letters {
			p.discards[one.Sequence.Key]++
			g.bearable(other, other.runner.Discard(other.ctx, p.name, one.Sequence.Key, "the game says so"))
		}
	}
	g.over(other, nil)
	g.over(proc, wake())
}

// goLive starts a process that runs all players in the background.
func (g *game) goLive() {
	proc := g.start(g.fate(), g.players...)
	proc.ended = make(chan error, 1)
	go func() { proc.ended <- proc.runner.Run(proc.ctx) }()
	g.live = proc
	for _, p := range g.players {
		g.awaitStart(p)
	}
}

// awaitStart waits until a player is run: a command that comes earlier would
// take it away from its process.
func (g *game) awaitStart(p *player) {
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for !g.live.fate.isDead() {
		status, err := g.live.runner.Status(g.live.ctx)
		if err == nil && !slices.ContainsFunc(status, func(s projection.Status) bool { return s.Projection == p.name && s.State == projection.Idle }) {
			return
		}
		g.bearable(g.live, err)
		<-tick.C
	}
}

// bury ends what runs in the background, dead or alive, and looks at what it
// has left.
func (g *game) bury() {
	proc := g.live
	g.live = nil
	proc.fate.end()
	g.over(proc, <-proc.ended)
	g.check()
}

func (g *game) stop() { g.bury() }

func (g *game) kill() {
	g.live.fate.kill()
	g.bury()
}

// redriveLive is redrive while projections run: by the process that runs them,
// or by another, which leaves it to that.
func (g *game) redriveLive() {
	p := g.any()
	keys := g.someKeys(p)
	if g.random.IntN(2) == 0 {
		_, err := g.live.runner.Redrive(g.live.ctx, p.name, keys...)
		g.bearable(g.live, p.unlessOrdered(err))
		return
	}
	other := g.start(&fate{}, p)
	_, err := other.runner.Redrive(other.ctx, p.name, keys...)
	g.over(other, p.unlessOrdered(err))
}

// discardLive is discard while projections run, by any process.
func (g *game) discardLive() {
	p := g.any()
	if g.random.IntN(2) == 0 {
		g.bearable(g.live, g.discardBy(g.live, p))
		return
	}
	other := g.start(&fate{}, p)
	g.over(other, g.discardBy(other, p))
}

// stuck is how long projections may take to come to the head.
const stuck = 10 * time.Second

// await waits until all players have come to the head, unless their process
// dies on the way.
func (g *game) await() {
	head, err := g.h.Store.Head(g.t.Context())
	require.NoError(g.t, err)
	ctx, cancel := context.WithTimeout(g.live.ctx, stuck)
	defer cancel()
	for _, p := range g.players {
		for err := g.live.runner.WaitFor(ctx, p.name, head); err != nil; err = g.live.runner.WaitFor(ctx, p.name, head) {
			if g.live.fate.isDead() {
				g.bury()
				return
			}
			if !broken(err) {
				require.Fail(g.t, "a projection is stuck", "%s: %v, after %s\n%s", p.name, err, g.summary(), g.plight(p))
			}
		}
	}
}

// plight says what is known of a player that is stuck.
func (g *game) plight(p *player) string {
	all, err := g.live.runner.Status(g.live.ctx)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, s := range all {
		if s.Projection != p.name {
			continue
		}
		for _, lane := range append(s.Lanes, s) {
			lines = append(lines, fmt.Sprintf("lane %d is %s at %d of %d, owned by %q: %v", lane.Lane, lane.State, lane.Position, lane.Head, lane.Owner, lane.LastError))
		}
	}
	r, _ := g.h.record(g.t, p.name)
	return fmt.Sprintf("%s\nthe store has it at %v; record: %+v", strings.Join(lines, "\n"), g.h.reached(g.t, p.name), r)
}

// finish heals everything and has all that was parked applied, by itself as far
// as that goes and then by command, and looks at what has come of it.
func (g *game) finish() {
	if g.live != nil {
		g.bury()
	}
	for _, p := range g.players {
		p.heal(len(p.ills))
		g.now.pass(24 * time.Hour)
		proc := g.start(&fate{}, p)
		g.over(proc, proc.runner.RunUntilCaughtUp(proc.ctx))
		for _, left := range g.h.sequences(g.t, p.name) {
			assert.Zero(g.t, left.NextRetry, "a sequence of %s was due and not tried", p.name)
		}
		g.redriveAll(p)
		assert.Empty(g.t, g.h.sequences(g.t, p.name), "%s is healthy", p.name)
	}
	g.check()
	head, err := g.h.Store.Head(g.t.Context())
	require.NoError(g.t, err)
	for _, p := range g.players {
		assert.Equal(g.t, head, slices.Min(p.reached), p.name)
		assert.Empty(g.t, p.ordered, "%s has an order that nobody carries out", p.name)
	}
}

// redriveAll has all that is parked of a healthy player tried by command.
func (g *game) redriveAll(p *player) {
	g.persist(p, func(proc *process) error {
		_, err := proc.runner.Redrive(proc.ctx, p.name)
		return err
	})
}

// persist has a process do a job, and another one if the projection was not its
// own: the game's clock leaps past leases, and who is stopped while he takes one
// does not know that he has it.
func (g *game) persist(p *player, job func(proc *process) error) {
	const most = 20
	for range most {
		proc := g.start(&fate{}, p)
		err := job(proc)
		g.over(proc, err)
		if !errors.Is(err, lease.ErrHeld) {
			return
		}
		g.expire()
	}
	require.Fail(g.t, "somebody else holds a projection all the time", p.name)
}

// look adds to the log what has come since it was last looked at.
func (g *game) look() {
	var query eventstore.Query
	if n := len(g.log); n > 0 {
		query.After = g.log[n-1].position
	}
	for e, err := range g.h.Store.ReadAll(g.t.Context(), query) {
		require.NoError(g.t, err)
		g.log = append(g.log, logged{position: e.Position, key: projection.DefaultSequenceKey(e)})
	}
}
