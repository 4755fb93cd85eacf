package projection_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

func noteOn(t *testing.T, store eventstore.Store, id uuid.UUID, n int) uint64 {
	t.Helper()
	var events []event.Event
	for range n {
		e, err := event.New(t.Context(), noted{Text: "x"})
		require.NoError(t, err)
		events = append(events, e)
	}
	result, err := store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: id}, Events: events})
	require.NoError(t, err)
	return result.Position
}

func newRunner(t *testing.T, store eventstore.Store, c projection.Config) *projection.Runner {
	t.Helper()
	r, err := projection.NewRunner(store, c)
	require.NoError(t, err)
	return r
}

func TestTrapAHandlerThatCancelsItselfIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var calls atomic.Int64
		p := projection.New("notes", 1, projection.On(func(ctx context.Context, _ event.Of[noted]) error {
			calls.Add(1)
			own, cancel := context.WithCancel(ctx)
			cancel()
			return own.Err()
		}))
		note(t, store, "one")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}}).RunUntilCaughtUp(ctx)
		t.Log("calls", calls.Load())
		require.NoError(t, err)
	})
}

func TestTrapABoundedRunBesideALiveOwnerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		c := projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}}
		a, b := newRunner(t, store, c), newRunner(t, store, c)
		stop := run(t, a)
		defer stop()
		require.NoError(t, a.WaitFor(t.Context(), "notes", note(t, store, "one")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, b.RunUntilCaughtUp(ctx))
	})
}

func TestTrapARebuildWhileAnotherProcessWaitsEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var b *projection.Runner
		var stopB func()
		var once sync.Once
		started := make(chan struct{})
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { return nil }),
			projection.OnReset(func(context.Context) error {
				once.Do(func() { stopB = run(t, b); close(started) })
				<-time.After(2 * time.Second)
				return nil
			}))
		c := projection.Config{Projections: []projection.Projection{p}}
		a := newRunner(t, store, projection.Config{Projections: c.Projections, Progress: slowRelease{store}})
		b = newRunner(t, store, c)
		note(t, store, "one")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := a.Rebuild(ctx, "notes")
		stopB()
		require.NoError(t, err)
	})
}

// slowRelease: a release whose answer takes two seconds to come back.

type slowRelease struct{ projection.Progress }

func (s slowRelease) Leases() lease.Store { return slowLeases{s.Progress.Leases()} }

type slowLeases struct{ lease.Store }

func (s slowLeases) Release(ctx context.Context, l lease.Lease) error {
	err := s.Store.Release(ctx, l)
	<-time.After(2 * time.Second)
	return err
}

func TestTrapASlowResetKeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var mu sync.Mutex
		target := map[uint64]bool{}
		p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
			mu.Lock()
			defer mu.Unlock()
			target[e.Position] = true
			return nil
		}), projection.OnReset(func(context.Context) error {
			<-time.After(15 * time.Second) // a big index takes its time
			mu.Lock()
			defer mu.Unlock()
			clear(target)
			return nil
		}))
		c := projection.Config{Projections: []projection.Projection{p}}
		a, b := newRunner(t, store, c), newRunner(t, store, c)
		note(t, store, "one")
		note(t, store, "two")
		done := make(chan error, 1)
		go func() { done <- a.Reset(t.Context(), "notes") }()
		synctest.Wait()
		stop := run(t, b)
		err := <-done
		<-time.After(time.Minute)
		stop()
		t.Log("reset:", err)
		assert.Len(t, target, 2, "events lost")
	})
}

func TestTrapADiscardDuringABatchLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		sick, well := uuid.New(), uuid.New()
		var other *projection.Runner
		var applied []uint64
		var discard atomic.Bool
		p := projection.New("notes", 1, projection.On(func(ctx context.Context, e event.Of[noted]) error {
			if e.Position == 1 {
				return projection.AsPoison(errors.New("bad"))
			}
			if discard.CompareAndSwap(true, false) {
				require.NoError(t, other.Discard(ctx, "notes", eventstore.Stream{AggregateType: "Note", AggregateID: sick}.String(), "no use"))
			}
			applied = append(applied, e.Position)
			return nil
		}))
		c := projection.Config{Projections: []projection.Projection{p}}
		r := newRunner(t, store, c)
		other = newRunner(t, store, c)
		noteOn(t, store, sick, 1)
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		discard.Store(true)
		noteOn(t, store, well, 1)
		noteOn(t, store, sick, 1)
		stop := run(t, r)
		<-time.After(100 * time.Hour)
		stop()
		parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
		require.NoError(t, err)
		t.Logf("%+v", parked)
		assert.Equal(t, []uint64{2, 3}, applied)
	})
}

func TestTrapAShutdownDuringRedrivesHasOneTimeOfGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var slow atomic.Bool
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error {
			if slow.Load() {
				<-time.After(4 * time.Second)
				return nil
			}
			return projection.AsPoison(errors.New("bad"))
		}))
		for range 10 {
			note(t, store, "x")
		}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		slow.Store(true)
		<-time.After(10 * time.Second)
		stop := run(t, r)
		<-time.After(time.Second)
		before := time.Now()
		stop()
		assert.LessOrEqual(t, time.Since(before), 6*time.Second)
	})
}

func TestTrapAShutdownSavesWhatWasAppliedOutside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var applied []uint64
		p := projection.New("notes", 1, projection.On(func(ctx context.Context, e event.Of[noted]) error {
			select {
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
			applied = append(applied, e.Position)
			return nil
		}))
		for range 10 {
			note(t, store, "x")
		}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		<-time.After(time.Second)
		before := time.Now()
		stop()
		t.Log("shutdown took", time.Since(before), "applied", applied)
		l, err := store.Checkpoints().List(t.Context(), "notes")
		require.NoError(t, err)
		assert.Equal(t, uint64(len(applied)), l[0].Position)
	})
}

func TestTrapSlowHandlersDoNotKeepATransactionOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		table := newRows(store)
		l := table.newLedger(t, "notes", func(context.Context, event.Event) error { <-time.After(50 * time.Millisecond); return nil })
		for range 200 {
			note(t, store, "x")
		}
		last := time.Now()
		var longest time.Duration
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: table, OnProgress: func(projection.Status) {
			longest = max(longest, time.Since(last))
			last = time.Now()
		}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		assert.LessOrEqual(t, longest, 500*time.Millisecond)
	})
}

func TestTrapWaitForIsNotFooledByAReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.On(onNoted), projection.OnReset(func(context.Context) error { return nil }))
		c := projection.Config{Projections: []projection.Projection{p}}
		a, b := newRunner(t, store, c), newRunner(t, store, c)
		at := note(t, store, "one")
		require.NoError(t, a.RunUntilCaughtUp(t.Context()))
		require.NoError(t, b.Reset(t.Context(), "notes"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, a.WaitFor(ctx, "notes", at), context.DeadlineExceeded)
	})
}

func TestTrapWaitForWhatIsDoneThoughStopped(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
		if e.Position == 2 {
			return projection.AsPoison(errors.New("bad"))
		}
		return nil
	}))
	note(t, store, "one")
	note(t, store, "two")
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, OnPoison: projection.Stop})
	require.ErrorIs(t, r.RunUntilCaughtUp(t.Context()), projection.ErrStopped)
	s, err := r.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint64(2), s[0].ErrorAt)
	assert.NoError(t, r.WaitFor(t.Context(), "notes", 1))
}

func TestTrapARedriveOfAPausedProjectionRunsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var onA []uint64
		var down atomic.Bool
		parts := func(who *[]uint64, down *atomic.Bool) projection.Projection {
			return projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
				if down != nil && down.Load() {
					return projection.AsInfrastructure(errors.New("down"))
				}
				*who = append(*who, e.Position)
				if e.Position == 1 {
					return projection.AsPoison(errors.New("bad"))
				}
				return nil
			}))
		}
		var onB []uint64
		conf := func(p projection.Projection) projection.Config {
			return projection.Config{Projections: []projection.Projection{p}, Pause: projection.Retry{First: time.Hour, Most: time.Hour}, Redrive: projection.Retry{MaxAttempts: 1}}
		}
		a, b := newRunner(t, store, conf(parts(&onA, &down))), newRunner(t, store, conf(parts(&onB, nil)))
		stopA := run(t, a)
		require.NoError(t, a.WaitFor(t.Context(), "notes", note(t, store, "one")))
		down.Store(true)
		note(t, store, "two")
		synctest.Wait()
		s, err := a.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, projection.Paused, s[0].State)
		stopB := run(t, b)
		require.NoError(t, b.WaitFor(t.Context(), "notes", 2))
		down.Store(false)
		n := len(onA)
		_, err = a.Redrive(t.Context(), "notes")
		t.Log(err)
		require.ErrorIs(t, err, lease.ErrHeld)
		assert.Len(t, onA, n, "applied without the lease")
		stopA()
		stopB()
	})
}

func TestTrapTwoRedrivesAtOnceApplyOnce(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	var sick atomic.Bool
	sick.Store(true)
	var applied atomic.Int64
	p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error {
		if sick.Load() {
			return projection.AsPoison(errors.New("bad"))
		}
		applied.Add(1)
		return nil
	}))
	note(t, store, "one")
	require.NoError(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{p}}).RunUntilCaughtUp(t.Context()))
	sick.Store(false)
	gate := &gated{Progress: store, entered: make(chan struct{}), open: make(chan struct{})}
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Progress: gate})
	first := make(chan error, 1)
	go func() { _, err := r.Redrive(t.Context(), "notes"); first <- err }()
	<-gate.entered
	_, err := r.Redrive(t.Context(), "notes")
	close(gate.open)
	require.NoError(t, <-first)
	require.ErrorIs(t, err, lease.ErrHeld, "the other command has it")
	assert.Equal(t, int64(1), applied.Load())
}

type gated struct {
	projection.Progress
	once          sync.Once
	entered, open chan struct{}
}

func (g *gated) Leases() lease.Store {
	g.once.Do(func() { close(g.entered); <-g.open })
	return g.Progress.Leases()
}

func TestTrapADrainThatIsCutOffGoesOnByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var sick atomic.Bool
		sick.Store(true)
		var down atomic.Bool
		var applied []uint64
		p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
			if e.Position == 1 && sick.Load() {
				return projection.AsPoison(errors.New("bad"))
			}
			if e.Position == 2 && down.Load() {
				return projection.AsInfrastructure(errors.New("down"))
			}
			applied = append(applied, e.Position)
			return nil
		}))
		noteOn(t, store, uuid.New(), 3)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{MaxAttempts: 1}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		sick.Store(false)
		down.Store(true)
		_, err := r.Redrive(t.Context(), "notes")
		require.Error(t, err)
		down.Store(false)
		stop := run(t, r)
		<-time.After(100 * time.Hour)
		stop()
		assert.Equal(t, []uint64{1, 2, 3}, applied)
	})
}

func TestTrapRedrivesAreCountedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		calls := 0
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { calls++; return errors.New("bad") }))
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Retry: projection.Retry{MaxAttempts: 5}, Redrive: projection.Retry{MaxAttempts: 5}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		require.Equal(t, 5, calls)
		stop := run(t, r)
		<-time.After(100 * time.Hour)
		stop()
		assert.GreaterOrEqual(t, calls-5, 4, "redrives")
	})
}

func TestTrapPoisonAloneIsTriedOnce(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	table := newRows(store)
	calls := 0
	l := table.newLedger(t, "notes", func(context.Context, event.Event) error { calls++; return projection.AsPoison(errors.New("bad")) })
	note(t, store, "x")
	require.NoError(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: table}).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 1, calls)
}

func TestTrapAShutdownEndsBetweenBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { <-time.After(4 * time.Second); return nil }))
		for range 10 {
			note(t, store, "x")
		}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, BatchSize: 1})
		stop := run(t, r)
		<-time.After(time.Second)
		before := time.Now()
		stop()
		assert.LessOrEqual(t, time.Since(before), 6*time.Second)
	})
}

func TestTrapAStoppedProjectionStartsCountingAnew(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	calls := 0
	p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { calls++; return errors.New("bad") }))
	note(t, store, "x")
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, OnPoison: projection.Stop, Retry: projection.Retry{First: 1, Most: 1}})
	require.Error(t, r.RunUntilCaughtUp(t.Context()))
	require.Equal(t, 3, calls)
	require.Error(t, r.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 6, calls)
}

func TestTrapALongRedriveKeepsItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		sick := true
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error {
			if sick {
				return projection.AsPoison(errors.New("bad"))
			}
			<-time.After(4 * time.Second)
			return nil
		}))
		noteOn(t, store, uuid.New(), 10)
		// a process with default times: shutdown 5 s, lease 10 s
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{MaxAttempts: 1}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		sick = false
		// borrowed lease of a redrive that takes 40 s: nobody may get it
		done := make(chan error, 1)
		go func() { _, err := r.Redrive(t.Context(), "notes"); done <- err }()
		<-time.After(15 * time.Second)
		_, err := store.Leases().Acquire(t.Context(), "projection/notes v1", "thief", time.Second)
		require.ErrorIs(t, err, lease.ErrHeld, "the redrive has not ended")
		t.Log(<-done)
	})
}

func TestTrapTheLeaseIsKeptWhileTheBatchInHandEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { <-time.After(4 * time.Second); return nil }))
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, LeaseTTL: 3 * time.Second})
		stop := run(t, r)
		<-time.After(500 * time.Millisecond)
		go stop()
		<-time.After(3 * time.Second) // the handler runs until 4 s
		_, err := store.Leases().Acquire(t.Context(), "projection/notes v1", "thief", time.Second)
		require.ErrorIs(t, err, lease.ErrHeld)
		<-time.After(10 * time.Second)
	})
}

func TestTrapSequencesThatAreGoneDoNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { return projection.AsPoison(errors.New("bad")) }))
	note(t, store, "a")
	note(t, store, "b")
	c := projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{MaxAttempts: 1}}
	require.NoError(t, newRunner(t, store, c).RunUntilCaughtUp(t.Context()))
	_, err := store.Leases().Acquire(t.Context(), "projection/notes v1", "owner", time.Hour)
	require.NoError(t, err)
	parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	c.Progress = &onAcquire{Progress: store, f: func() {
		require.NoError(t, store.DeadLetters().Remove(t.Context(), parked[0].First)) // the owner was faster
	}}
	_, err = newRunner(t, store, c).Redrive(t.Context(), "notes")
	require.ErrorIs(t, err, lease.ErrHeld)
	left, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	require.Len(t, left, 1)
	assert.False(t, left[0].NextRetry.IsZero())
}

type onAcquire struct {
	projection.Progress
	f func()
}

func (o *onAcquire) Leases() lease.Store { o.f(); return o.Progress.Leases() }

// lateHead is a store whose head is a moment behind what another process has
// seen of it, the first time that it is asked.
type lateHead struct {
	projection.Store

	asked atomic.Int64
}

func (s *lateHead) Head(ctx context.Context) (uint64, error) {
	head, err := s.Store.Head(ctx)
	if s.asked.Add(1) == 2 { // the first is the bounded run's own
		head--
	}
	return head, err
}

func TestTrapAHeadThatIsAMomentBehindIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		note(t, store, "one")
		c := projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}}
		require.NoError(t, newRunner(t, store, c).RunUntilCaughtUp(t.Context()))
		late := &lateHead{Store: store}
		require.NoError(t, newRunner(t, late, c).RunUntilCaughtUp(t.Context()), "its checkpoint is not ahead of the store")
		require.GreaterOrEqual(t, late.asked.Load(), int64(2))
	})
}
