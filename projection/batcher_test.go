package projection_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

func TestTrapAHandlerThatAppendsToItsBatchSpoilsNothing(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	var applied []uint64
	p := projection.New("notes", 1, projection.OnBatch(func(_ context.Context, events []event.Event) error {
		_ = append(events, event.Event{Position: 99})
		if len(events) > 1 {
			return errors.New("no")
		}
		applied = append(applied, events[0].Position)
		return nil
	}))
	id := uuid.New()
	noteOn(t, store, id, 5)
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, BatchSize: 8})
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, []uint64{1, 2, 3, 4, 5}, applied)
}

func TestTrapASlowHandlerForBatchesIsNotCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		table := newRows(store)
		var sizes []int
		l := table.newBatchLedger(t, "notes", func(_ context.Context, events []event.Event) error {
			sizes = append(sizes, len(events))
			<-time.After(10 * time.Second) // 40 times as long as a batch is collected
			return nil
		})
		noteOn(t, store, uuid.New(), 30)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: table, BatchSize: 20})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		assert.Equal(t, []int{20, 10}, sizes)
	})
}

func TestTrapABatchThatTakesLongerThanGraceIsRolledBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		table := newRows(store)
		calls := 0
		l := table.newBatchLedger(t, "notes", func(ctx context.Context, _ []event.Event) error {
			calls++
			<-ctx.Done()
			return ctx.Err()
		})
		noteOn(t, store, uuid.New(), 10)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: table})
		stop := run(t, r)
		<-time.After(time.Second)
		stop()
		positions, err := l.Positions(t.Context())
		require.NoError(t, err)
		assert.Empty(t, positions)
		assert.Equal(t, 1, calls, "the end of a run is the fault of no event")
	})
}

func TestTrapATargetOutsideIsSavedThoughGraceIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.OnBatch(func(context.Context, []event.Event) error {
			<-time.After(time.Minute) // it does not listen to its context
			return nil
		}))
		noteOn(t, store, uuid.New(), 10)
		stop := run(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{p}}))
		<-time.After(time.Second)
		stop()
		l, err := store.Checkpoints().List(t.Context(), "notes")
		require.NoError(t, err)
		assert.Equal(t, uint64(10), l[0].Position)
	})
}

func TestTrapAPausedBatchSaysWhichEventsItHad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.OnBatch(func(context.Context, []event.Event) error {
			return projection.AsInfrastructure(errors.New("down"))
		}))
		noteOn(t, store, uuid.New(), 3)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		synctest.Wait()
		s, err := r.Status(t.Context())
		stop()
		require.NoError(t, err)
		assert.Equal(t, projection.Paused, s[0].State)
		assert.Equal(t, uint64(1), s[0].ErrorAt)
		assert.ErrorContains(t, s[0].LastError, "events at positions 1 to 3: down")
	})
}

func TestTrapAfterPoisonBatchesAreWholeAgain(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	var sizes []int
	p := projection.New("notes", 1, projection.OnBatch(func(_ context.Context, events []event.Event) error {
		sizes = append(sizes, len(events))
		if slices.ContainsFunc(events, func(e event.Event) bool { return e.Position == 2 }) {
			return projection.AsPoison(errors.New("bad"))
		}
		return nil
	}))
	for range 9 {
		note(t, store, "x")
	}
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, BatchSize: 3})
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, []int{3, 1, 1, 1, 3, 3}, sizes)
}

func TestTrapARetriedEventDoesNotBringTheWholeBatchAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var sizes []int
		p := projection.New("notes", 1, projection.OnBatch(func(_ context.Context, events []event.Event) error {
			sizes = append(sizes, len(events))
			if events[0].Position == 1 {
				return errors.New("bad, or not")
			}
			return nil
		}))
		for range 3 {
			note(t, store, "x")
		}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		assert.Equal(t, []int{3, 1, 1, 1, 1, 1}, sizes, "whole, three attempts, and the other two")
	})
}

// undecided is a projection that could take batches.
type undecided struct {
	*projection.Declared[projection.Outside]

	batches bool
	applied *[]string
}

func (u undecided) Batches() bool { return u.batches }

func (u undecided) Apply(context.Context, projection.Tx, event.Event) error {
	*u.applied = append(*u.applied, "one")
	return nil
}

func (u undecided) ApplyBatch(context.Context, projection.Tx, []event.Event) error {
	*u.applied = append(*u.applied, "batch")
	return nil
}

func TestTrapABatcherThatTakesNoBatchesIsGivenEvents(t *testing.T) {
	t.Parallel()
	for batches, want := range map[bool][]string{false: {"one", "one", "one"}, true: {"batch", "batch"}} {
		store := openMemory(t)
		note(t, store, "x")
		note(t, store, "y")
		var applied []string
		p := undecided{Declared: projection.New("notes", 1, projection.On(onNoted)), batches: batches, applied: &applied}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		note(t, store, "z") // by itself
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		assert.Equal(t, want, applied)
	}
}

func TestTrapALetterOfATypeThatIsNoLongerWanted(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	note(t, store, "x")
	config := func(p projection.Projection) projection.Config {
		return projection.Config{Projections: []projection.Projection{p}}
	}
	wide := projection.New("notes", 1, projection.OnBatch(func(context.Context, []event.Event) error { return projection.AsPoison(errors.New("bad")) }))
	require.NoError(t, newRunner(t, store, config(wide)).RunUntilCaughtUp(t.Context()))
	var calls atomic.Int64
	narrow := projection.New("notes", 1, projection.OnBatch(func(context.Context, []event.Event) error { calls.Add(1); return nil }, "Other"))
	done, err := newRunner(t, store, config(narrow)).Redrive(t.Context(), "notes")
	require.NoError(t, err)
	assert.Equal(t, 1, done.Applied)
	assert.Zero(t, calls.Load())
}
