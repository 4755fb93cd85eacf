package projection_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// A rebuild has caught up when it has come to where the head is now, not to where
// it was when the version first did.
func TestTrapARebuildHasNotCaughtUpAtItsBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		r := newRunner(t, store, projection.Config{BatchSize: 10, Projections: []projection.Projection{d.projection("notes", 1)}})
		stop := run(t, r)
		fill(t, store, 1, 5)
		<-time.After(10 * time.Second)
		last := fill(t, store, 10, 100)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		d.delay = 100 * time.Millisecond
		order(t, store, notesV1, registry.Order{Kind: registry.Rebuild})
		settled(t, store, notesV1)
		for finished := false; !finished; {
			<-time.After(500 * time.Millisecond)
			record, err := store.Registry().Load(t.Context(), notesV1)
			require.NoError(t, err)
			status, err := r.Status(t.Context())
			require.NoError(t, err)
			if finished = record.Finished; finished {
				assert.GreaterOrEqual(t, status[0].Position, last-20)
			}
		}
		stop()
	})
}

// A version that cannot be brought to where the live one stands keeps that one
// from nothing: the switch is refused.
func TestTrapASwitchThatCannotBeLeavesTheLiveVersionRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var bad atomic.Bool
		next := projection.New("notes", 2, projection.OnEvery(func(context.Context, event.Event) error {
			if bad.Load() {
				return errors.New("column does not exist")
			}
			return nil
		}))
		d := &diary{}
		live := newRunner(t, store, projection.Config{Projections: []projection.Projection{d.projection("notes", 1)}})
		stopLive := run(t, live)
		require.NoError(t, live.WaitFor(t.Context(), "notes", fill(t, store, 10, 3)))
		stopNext := run(t, newRunner(t, store, projection.Config{MaxSequences: 2, Gather: time.Second, Projections: []projection.Projection{next}}))
		<-time.After(5 * time.Second)
		bad.Store(true)
		fill(t, store, 10, 1)
		v2 := registry.Name{Projection: "notes", Version: 2}
		order(t, store, v2, registry.Order{Kind: registry.Switch})
		assert.Contains(t, settled(t, store, v2).Order.Problem, "dead-letter queue of notes v2 is full")
		require.NoError(t, live.WaitFor(t.Context(), "notes", fill(t, store, 10, 1)))
		stopLive()
		stopNext()
	})
}

// A reactor does not leave behind what it could not do.
func TestTrapASwitchOfAReactorLeavesNoLettersBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var healed atomic.Bool
		mail := func(version int) projection.Projection {
			return projection.NewReactor("mail", version, projection.OnEvery(func(context.Context, event.Event) error {
				if !healed.Load() {
					return projection.AsPoison(errors.New("no such address"))
				}
				return nil
			}))
		}
		old := newRunner(t, store, projection.Config{Projections: []projection.Projection{mail(1)}})
		stopOld := run(t, old)
		<-time.After(2 * time.Second)
		require.NoError(t, old.WaitFor(t.Context(), "mail", note(t, store, "one")))
		stopNext := run(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{mail(2)}}))
		<-time.After(2 * time.Second)
		v2 := registry.Name{Projection: "mail", Version: 2}
		order(t, store, v2, registry.Order{Kind: registry.Switch})
		assert.Contains(t, settled(t, store, v2).Order.Problem, "would leave 1 dead letters of version 1 behind: retry or discard them first")
		healed.Store(true)
		_, err := old.Redrive(t.Context(), "mail")
		require.NoError(t, err)
		order(t, store, v2, registry.Order{Kind: registry.Switch})
		assert.Equal(t, registry.Live, settled(t, store, v2).State)
		stopOld()
		stopNext()
	})
}

// Who waits for a lease that is free because of a pause does not take it again
// and again.
func TestTrapAPauseDoesNotHaveOthersSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		projections := []projection.Projection{(&diary{}).projection("notes", 1)}
		stopOne := run(t, newRunner(t, store, projection.Config{Projections: projections}))
		<-time.After(2500 * time.Millisecond)
		progress := &countingLeases{Store: store}
		stopOther := run(t, newRunner(t, store, projection.Config{Progress: progress, Projections: projections}))
		<-time.After(700 * time.Millisecond)
		before := progress.acquired.Load()
		change(t, store, notesV1, func(r *registry.Record) { r.Pause = registry.Pause{Reason: "why", At: time.Now()} })
		<-time.After(5 * time.Second)
		assert.Less(t, progress.acquired.Load()-before, int64(10))
		stopOne()
		stopOther()
	})
}

// countingLeases is progress whose leases are counted, and take a moment.
type countingLeases struct {
	*memory.Store

	acquired atomic.Int64
}

func (c *countingLeases) Leases() lease.Store { return counting{c.Store.Leases(), c} }

type counting struct {
	lease.Store

	by *countingLeases
}

func (c counting) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	c.by.acquired.Add(1)
	<-time.After(time.Millisecond)
	return c.Store.Acquire(ctx, name, owner, ttl)
}

// A status that was asked for before the number of lanes was changed, and comes
// back after it, changes nothing for lanes that run.
func TestTrapALateLookDoesNotDivideAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		progress := &lateRegistry{Store: store, gate: make(chan struct{})}
		d := &diary{}
		last := fill(t, store, 20, 1)
		r := newRunner(t, store, projection.Config{Progress: progress, Projections: []projection.Projection{d.projection("notes", 1)}})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		asked := make(chan error, 1)
		go func() {
			_, err := r.Status(context.WithValue(t.Context(), late{}, true))
			asked <- err
		}()
		synctest.Wait()
		order(t, store, notesV1, registry.Order{Kind: registry.ChangeLanes, Lanes: 4})
		settled(t, store, notesV1)
		<-time.After(5 * time.Second)
		close(progress.gate)
		require.NoError(t, <-asked)
		for range 20 {
			last = noteOn(t, store, uuid.New(), 1)
		}
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		<-time.After(5 * time.Second)
		d.requireEach(t, last)
		stop()
	})
}

// lateRegistry gives the record late to whoever asks with the key late.
type lateRegistry struct {
	*memory.Store

	gate chan struct{}
}

type late struct{}

func (l *lateRegistry) Registry() registry.Store { return lateStore{l.Store.Registry(), l} }

type lateStore struct {
	registry.Store

	of *lateRegistry
}

func (l lateStore) Load(ctx context.Context, name registry.Name) (registry.Record, error) {
	r, err := l.Store.Load(ctx, name)
	if ctx.Value(late{}) != nil {
		<-l.of.gate
	}
	return r, err
}

// Whoever owned a lane before an order was carried out, and sleeps in the midst of
// a batch, cannot commit it while the order is carried out.
func TestTrapAnOrderRaisesTheFences(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		key := checkpoint.Key{Projection: "notes", Version: 1}
		var late error
		p := projection.New("notes", 1, projection.OnEvery(d.note), projection.OnReset(func(ctx context.Context) error {
			late = store.Checkpoints().Move(ctx, key, checkpoint.Move{To: 1, StoreID: store.ID(), Fence: 1})
			return d.empty(ctx)
		}))
		last := fill(t, store, 3, 1)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r) // with fence 1
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		order(t, store, notesV1, registry.Order{Kind: registry.Rebuild})
		settled(t, store, notesV1)
		require.ErrorIs(t, late, checkpoint.ErrMoved)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		d.requireEach(t, last)
		stop()
	})
}

// An order that is withdrawn while a target outside is cut leaves nothing out:
// what was cut is applied again.
func TestTrapAWithdrawnRewindLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		p := d.projection("notes", 1, projection.OnRewind(func(_ context.Context, position uint64) error {
			change(t, store, notesV1, func(r *registry.Record) { r.Order = registry.Order{} })
			return d.cut(position)
		}))
		last := fill(t, store, 5, 4)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		order(t, store, notesV1, registry.Order{Kind: registry.Rewind, Position: 7})
		settled(t, store, notesV1)
		<-time.After(time.Minute)
		d.requireEach(t, last)
		stop()
	})
}

// While an order is carried out its lanes wait, and the loop is alive.
func TestTrapAnOrderThatTakesLongIsNoDeadLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		var r *projection.Runner
		health := projection.Health{MaxBehind: time.Hour}
		p := projection.New("notes", 1, projection.OnEvery(d.note), projection.OnReset(func(context.Context) error {
			for range 60 {
				<-time.After(time.Minute)
				report := health.Check(time.Now(), r.Pulse())
				assert.True(t, report.Alive(), "%+v", report)
			}
			assert.Equal(t, projection.Waiting, r.Pulse()[0].State)
			return nil
		}))
		r = newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		order(t, store, notesV1, registry.Order{Kind: registry.Rebuild})
		<-time.After(2 * time.Hour)
		assert.False(t, settled(t, store, notesV1).Ordered())
		stop()
	})
}

// Two orders of one runner, to two versions, do not take each other's leases for
// their own: the switch waits until the live version's order is done.
func TestTrapOrdersToTwoVersionsDoNotShareLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		old, fresh := &diary{}, &diary{}
		var rebuilding, overlapped atomic.Bool
		v1 := projection.New("notes", 1, projection.OnEvery(old.note), projection.OnReset(func(ctx context.Context) error {
			rebuilding.Store(true)
			defer rebuilding.Store(false)
			<-time.After(30 * time.Second)
			record, err := store.Registry().Load(ctx, registry.Name{Projection: "notes", Version: 2})
			overlapped.Store(err != nil || record.State == registry.Live)
			return old.empty(ctx)
		}))
		first := newRunner(t, store, projection.Config{Projections: []projection.Projection{v1}})
		require.NoError(t, first.RunUntilCaughtUp(t.Context()))
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{v1, fresh.projection("notes", 2)}})
		stop := run(t, r)
		fill(t, store, 3, 3)
		<-time.After(10 * time.Second)
		v2 := registry.Name{Projection: "notes", Version: 2}
		order(t, store, notesV1, registry.Order{Kind: registry.Rebuild})
		order(t, store, v2, registry.Order{Kind: registry.Switch})
		assert.Equal(t, registry.Live, settled(t, store, v2).State)
		assert.False(t, rebuilding.Load(), "the live version's order is done")
		assert.False(t, overlapped.Load())
		stop()
	})
}
