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
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

func note(t *testing.T, store eventstore.Store, text string) uint64 {
	t.Helper()
	e, err := event.New(t.Context(), noted{Text: text})
	require.NoError(t, err)
	result, err := store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: uuid.New()}, Events: []event.Event{e}})
	require.NoError(t, err)
	return result.Position
}

// run starts a runner and returns what ends it.
func run(t *testing.T, r *projection.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// A read model that is down for ten minutes pauses its projection, which says
// so, and nothing else. Then the projection is live again by itself, everything
// was applied, what came during the outage too, and nothing was dead-lettered.
func TestTrapAnOutageOfTenMinutesEndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		const outage = 10 * time.Minute
		store := openMemory(t)
		table := newRows(store)
		var back time.Time // zero while the read models are up
		down := func(context.Context, event.Event) error {
			if time.Now().Before(back) {
				return projection.AsInfrastructure(errReadModel)
			}
			return nil
		}
		within, beside := table.newLedger(t, "within", down), table.newLedger(t, "beside", func(context.Context, event.Event) error { return nil })
		var outside []uint64
		core, logs := observer.New(zap.WarnLevel)
		r, err := projection.NewRunner(store, projection.Config{Progress: table, Logger: zap.New(core), Projections: []projection.Projection{
			within.Projection, beside.Projection,
			projection.New("outside", 1, projection.OnEvery(func(ctx context.Context, e event.Event) error {
				if err := down(ctx, e); err != nil {
					return err
				}
				outside = append(outside, e.Position)
				return nil
			})),
		}})
		require.NoError(t, err)
		stop := run(t, r)
		note(t, store, "before")
		synctest.Wait()
		requireStates(t, r, projection.Live, projection.Live, projection.Live)

		back = time.Now().Add(outage)
		var last uint64
		for range 20 {
			last = note(t, store, "meanwhile")
			<-time.After(outage / 22)
		}
		require.True(t, time.Now().Before(back))
		status := requireStates(t, r, projection.Paused, projection.Live, projection.Paused)
		for _, i := range []int{0, 2} {
			require.ErrorIs(t, status[i].LastError, errReadModel)
			assert.Equal(t, uint64(2), status[i].ErrorAt)
			assert.Equal(t, uint64(1), status[i].Position)
		}
		for _, name := range []string{"within", "outside"} {
			require.NoError(t, r.WaitFor(t.Context(), name, last))
		}
		assert.WithinDuration(t, back, time.Now(), 40*time.Second)
		synctest.Wait()
		for _, s := range requireStates(t, r, projection.Live, projection.Live, projection.Live) {
			require.NoError(t, s.LastError)
			assert.Equal(t, last, s.Position)
			assert.Zero(t, s.DeadLetters)
		}
		discarded, err := store.DeadLetters().Discarded(t.Context(), "within", 1)
		require.NoError(t, err)
		assert.Empty(t, discarded)
		all, err := beside.Positions(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 21)
		lines, err := within.Positions(t.Context())
		require.NoError(t, err)
		assert.Equal(t, all, lines)
		assert.Equal(t, all, outside)
		assert.Less(t, logs.Len(), 2*60, "it backs off")
		stop()
	})
}

var errReadModel = errors.New("read model is down")

// requireStates requires that the projections of a runner are in these states.
func requireStates(t *testing.T, r *projection.Runner, want ...projection.State) []projection.Status {
	t.Helper()
	status, err := r.Status(t.Context())
	require.NoError(t, err)
	var states []projection.State
	for _, s := range status {
		states = append(states, s.State)
	}
	require.Equal(t, want, states)
	return status
}

func TestLeaseIsRenewedForAsLongAsARunnerRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store := openMemory(t)
		r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}, Owner: "me"})
		require.NoError(t, err)
		stop := run(t, r)
		<-time.After(time.Minute)
		_, err = store.Leases().Acquire(t.Context(), "projection/notes v1", "thief", time.Second)
		require.ErrorIs(t, err, lease.ErrHeld)
		stop()
		l, err := store.Leases().Acquire(t.Context(), "projection/notes v1", "next", time.Second)
		require.NoError(t, err)
		assert.Equal(t, uint64(2), l.Fence)
	})
}

func TestLeaseThatIsLostIsTakenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store := openMemory(t)
		var applied atomic.Int64
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { applied.Add(1); return nil }))
		r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{p}, Owner: "me"})
		require.NoError(t, err)
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		require.NoError(t, store.Leases().Release(t.Context(), lease.Lease{Name: "projection/notes v1", Owner: "me", Fence: 1}))
		_, err = store.Leases().Acquire(t.Context(), "projection/notes v1", "thief", 8*time.Second)
		require.NoError(t, err)
		<-time.After(5 * time.Second)
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Waiting, status[0].State)
		assert.Equal(t, "thief", status[0].Owner)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "two")))
		assert.Equal(t, int64(2), applied.Load())
		stop()
	})
}

func TestRedriveOfAProjectionThatWaitsIsLeftToItsOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store := openMemory(t)
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { return projection.AsPoison(errors.New("no")) }))
		config := projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{First: time.Hour, Most: time.Hour, MaxAttempts: 2}}
		owner, err := projection.NewRunner(store, config)
		require.NoError(t, err)
		waiting, err := projection.NewRunner(store, config)
		require.NoError(t, err)
		stopOwner := run(t, owner)
		require.NoError(t, owner.WaitFor(t.Context(), "notes", note(t, store, "one")))
		stopWaiting := run(t, waiting)
		synctest.Wait()
		_, err = waiting.Redrive(t.Context(), "notes")
		require.ErrorIs(t, err, lease.ErrHeld)
		<-time.After(6 * time.Second)
		parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
		require.NoError(t, err)
		require.Len(t, parked, 1)
		assert.Equal(t, 2, parked[0].First.Attempts, "the owner tried it")
		assert.Zero(t, parked[0].NextRetry, "and leaves it to a command now")
		_, err = owner.Redrive(t.Context(), "notes", "no such key")
		require.ErrorIs(t, err, dlq.ErrNotFound)
		again, err := owner.Redrive(t.Context(), "notes", parked[0].Sequence.Key)
		require.NoError(t, err)
		assert.Equal(t, projection.Redriven{Failed: 1}, again)
		stopWaiting()
		stopOwner()
	})
}

func TestOneAppendWakesAnIdleRunnerAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store := openMemory(t)
		r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		require.NoError(t, err)
		stop := run(t, r)
		<-time.After(time.Hour)
		before := time.Now()
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		assert.Less(t, time.Since(before), time.Second)
		require.ErrorIs(t, r.Run(t.Context()), projection.ErrRunning)
		stop()
	})
}

func TestStoreThatIsClosedStopsItsProjections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		store := openMemory(t)
		r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		synctest.Wait()
		require.NoError(t, store.Close())
		require.ErrorIs(t, <-done, eventstore.ErrClosed)
		_, err = r.Status(t.Context())
		require.ErrorIs(t, err, eventstore.ErrClosed)
		require.ErrorIs(t, r.RunUntilCaughtUp(t.Context()), eventstore.ErrClosed)
	})
}

func TestABoundedRunEndsWhenTheOwnerHasComeAsFar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		config := projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}}
		owner, err := projection.NewRunner(store, config)
		require.NoError(t, err)
		stop := run(t, owner)
		require.NoError(t, owner.WaitFor(t.Context(), "notes", note(t, store, "one")))
		job, err := projection.NewRunner(store, config)
		require.NoError(t, err)
		require.NoError(t, job.RunUntilCaughtUp(t.Context()))
		stop()
	})
}

func TestALeaseIsKeptDuringALongReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.On(onNoted), projection.OnReset(func(context.Context) error {
			<-time.After(time.Minute)
			_, err := store.Leases().Acquire(t.Context(), "projection/notes v1", "thief", time.Second)
			assert.ErrorIs(t, err, lease.ErrHeld)
			return nil
		}))
		r, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{p}})
		require.NoError(t, err)
		require.NoError(t, r.Reset(t.Context(), "notes"))
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Idle, status[0].State, "a command does not leave it as if it ran")
	})
}
