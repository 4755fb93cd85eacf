package projection_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// expire ends the lease of the lane of notes v1, as its time would while its
// owner is frozen and hears of nothing.
func expire(t *testing.T, store *memory.Store) {
	t.Helper()
	_, err := store.Leases().Acquire(t.Context(), "projection/notes v1", "thief", time.Minute)
	var held *lease.HeldError
	require.ErrorAs(t, err, &held)
	require.NoError(t, store.Leases().Release(t.Context(), held.Lease))
}

// A process that was frozen in the midst of a reset empties the target when it
// wakes, while another one owns and has rebuilt the projection. It has that done
// once more.
func TestTrapAResetThatComesTooLateIsMadeGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		var other *projection.Runner
		var once atomic.Bool
		p := projection.New("notes", 1, projection.OnEvery(d.note), projection.OnReset(func(ctx context.Context) error {
			if once.CompareAndSwap(false, true) { // frozen
				expire(t, store)
				require.NoError(t, other.RunUntilCaughtUp(ctx))
			}
			return d.empty(ctx)
		}))
		last := fill(t, store, 3, 2)
		c := projection.Config{Projections: []projection.Projection{p}}
		r := newRunner(t, store, c)
		other = newRunner(t, store, c)
		require.Error(t, r.Reset(t.Context(), "notes"), "it was taken over")
		require.NoError(t, other.RunUntilCaughtUp(t.Context()))
		d.requireEach(t, last)
	})
}

// The same with an order that the other process has carried out meanwhile: it
// was done, and is given again.
func TestTrapAnOrderThatComesTooLateIsMadeGood(t *testing.T) {
	t.Parallel()
	for _, kind := range []registry.Kind{registry.Rebuild, registry.Rewind} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := openMemory(t)
				d := &diary{}
				var other *projection.Runner
				var once atomic.Bool
				undo := func(ctx context.Context, position uint64) error {
					if once.CompareAndSwap(false, true) { // frozen
						expire(t, store)
						require.NoError(t, other.RunUntilCaughtUp(ctx))
						require.False(t, settled(t, store, notesV1).Ordered())
					}
					return d.cut(position)
				}
				p := projection.New("notes", 1, projection.OnEvery(d.note), projection.OnRewind(undo),
					projection.OnReset(func(ctx context.Context) error { return undo(ctx, 0) }))
				last := fill(t, store, 3, 2)
				c := projection.Config{Projections: []projection.Projection{p}}
				r := newRunner(t, store, c)
				other = newRunner(t, store, c)
				require.NoError(t, r.RunUntilCaughtUp(t.Context()))
				o := registry.Order{Kind: kind}
				if kind == registry.Rewind {
					o.Position = 2
				}
				order(t, store, notesV1, o)
				require.NoError(t, r.RunUntilCaughtUp(t.Context()))
				d.requireEach(t, last)
			})
		})
	}
}

// The same when somebody changes the record in between: the order is given on what
// is there now, also by a run that ends when it has caught up.
func TestTrapWhatIsOrderedAgainIsNotLostToAChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		var other *projection.Runner
		var once atomic.Bool
		p := projection.New("notes", 1, projection.OnEvery(d.note), projection.OnReset(func(ctx context.Context) error {
			if once.CompareAndSwap(false, true) { // frozen
				expire(t, store)
				require.NoError(t, other.RunUntilCaughtUp(ctx))
			}
			return d.empty(ctx)
		}))
		last := fill(t, store, 3, 2)
		other = newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		require.NoError(t, other.RunUntilCaughtUp(t.Context()))
		order(t, store, notesV1, registry.Order{Kind: registry.Rebuild})
		busy := &busyRegistry{Store: store}
		r := newRunner(t, store, projection.Config{Progress: busy, Projections: []projection.Projection{p}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		assert.EqualValues(t, 4, busy.changes.Load())
		d.requireEach(t, last)
	})
}

// busyRegistry has a record changed just before the runner gives it an order, the
// first three times.
type busyRegistry struct {
	*memory.Store

	changes atomic.Int64
}

func (b *busyRegistry) Registry() registry.Store { return busyStore{b.Store.Registry(), b} }

type busyStore struct {
	registry.Store

	of *busyRegistry
}

func (s busyStore) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if r.Order.By == "system:projection-runner" && s.of.changes.Add(1) <= 3 {
		have, err := s.Load(ctx, r.Name)
		if err != nil {
			return r, err
		}
		if _, err := s.Store.Save(ctx, have); err != nil {
			return r, err
		}
	}
	return s.Store.Save(ctx, r)
}

// A process that was frozen in front of the first step of an order, and wakes
// when another one has carried it out, takes nothing back: neither checkpoints nor
// the letters that were parked since.
func TestTrapAnOrderThatComesTooLateTakesOutNoLetters(t *testing.T) {
	t.Parallel()
	for _, o := range []registry.Order{{Kind: registry.Rebuild}, {Kind: registry.Rewind, Position: 3}} {
		t.Run(string(o.Kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := openMemory(t)
				d := &diary{}
				var undone atomic.Int64
				undo := func(_ context.Context, position uint64) error {
					undone.Add(1)
					return d.cut(position)
				}
				p := projection.New("notes", 1, projection.OnRewind(undo),
					projection.OnReset(func(ctx context.Context) error { return undo(ctx, 0) }),
					projection.OnEvery(func(ctx context.Context, e event.Event) error {
						if e.Position == 4 {
							return projection.AsPoison(errors.New("sick"))
						}
						return d.note(ctx, e)
					}))
				for range 3 {
					note(t, store, "x")
				}
				projections := []projection.Projection{p}
				other := newRunner(t, store, projection.Config{Projections: projections})
				require.NoError(t, other.RunUntilCaughtUp(t.Context()))
				order(t, store, notesV1, o)
				for range 2 {
					note(t, store, "x")
				}
				sleepy := &sleepyProgress{Store: store}
				sleepy.asleep = func() {
					expire(t, store)
					require.NoError(t, other.RunUntilCaughtUp(t.Context()))
				}
				require.NoError(t, newRunner(t, store, projection.Config{Progress: sleepy, Projections: projections}).RunUntilCaughtUp(t.Context()))
				assert.True(t, sleepy.woke.Load())
				assert.EqualValues(t, 1, undone.Load())
				assert.Equal(t, []uint64{1, 2, 3, 5}, slices.Sorted(slices.Values(d.all)))
				assert.Equal(t, []uint64{4}, letterPositions(t, store, "notes"))
			})
		})
	}
}

// A command whose lease is taken over while a handler takes its time says so, and
// not that somebody has cancelled it; the letter is tried by the new owner.
func TestTrapARedriveThatIsTakenOverSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var slow atomic.Bool
		p := projection.New("notes", 1, projection.OnEvery(func(ctx context.Context, _ event.Event) error {
			if !slow.Load() {
				return projection.AsPoison(errors.New("sick"))
			}
			expire(t, store)
			_, err := store.Leases().Acquire(ctx, "projection/notes v1", "thief", time.Hour)
			require.NoError(t, err)
			<-ctx.Done()
			return ctx.Err()
		}))
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Redrive: projection.Retry{MaxAttempts: 1}, Projections: []projection.Projection{p}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		slow.Store(true)
		_, err := r.Redrive(t.Context(), "notes")
		require.ErrorIs(t, err, lease.ErrHeld)
		require.ErrorContains(t, err, "has expired or was taken over")
		parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{Projection: "notes"})
		require.NoError(t, err)
		require.Len(t, parked, 1)
		assert.False(t, parked[0].NextRetry.IsZero(), "nobody will try it")
	})
}

// sleepyProgress falls asleep in front of its first transaction.
type sleepyProgress struct {
	*memory.Store

	asleep func()
	woke   atomic.Bool
}

func (s *sleepyProgress) Begin(ctx context.Context) (projection.Tx, error) {
	if s.woke.CompareAndSwap(false, true) {
		s.asleep()
	}
	return s.Store.Begin(ctx)
}
