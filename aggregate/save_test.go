package aggregate_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestSaveNothing(t *testing.T) {
	t.Parallel()
	store := &fakeStore{Store: openStore(t)}
	repo := repository(t, store, aggregate.Config{})
	d := repo.New(event.NewID())
	require.NoError(t, repo.Save(t.Context(), d))
	require.NoError(t, d.Emit(t.Context()))
	require.NoError(t, repo.Save(t.Context(), d))
	require.NoError(t, aggregate.SaveAll(t.Context(), store, d))
	require.NoError(t, aggregate.SaveAll(t.Context(), store))
	assert.Empty(t, store.appends, "the store is not called")
	assert.ErrorIs(t, repo.Save(t.Context(), nil), event.ErrInvalid)
}

func TestFailedSaveKeepsPending(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := openStore(t)
			unknown := &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}
			store := &fakeStore{Store: inner, onAppend: failing(inner, 2, unknown, after)}
			repo := repository(t, store, aggregate.Config{})
			d := repo.New(event.NewID())
			require.NoError(t, d.Create(t.Context(), "Plan"))
			before := d.Pending()

			for range 2 {
				require.ErrorIs(t, repo.Save(t.Context(), d), eventstore.ErrOutcomeUnknown)
				assert.Equal(t, before, d.Pending())
				assert.Zero(t, d.SavedVersion())
			}
			require.NoError(t, repo.Save(t.Context(), d))
			assert.Nil(t, d.Pending())
			assert.EqualValues(t, 1, d.Position())

			stored := readAll(t, inner, stream(d.ID()))
			require.Len(t, stored, 1, "stored once")
			assert.Equal(t, before[0].ID, stored[0].ID, "the same event was sent again")
		})
	}
}

// What a failed append was given may still be read, so it is not written to
// any more; the race detector watches.
func TestFailedSaveSharesNothing(t *testing.T) {
	t.Parallel()
	inner := openStore(t)
	started, finished := make(chan struct{}), make(chan string)
	store := &fakeStore{Store: inner}
	store.onAppend = func(_ context.Context, appends []eventstore.Append) (eventstore.Result, error) {
		store.onAppend = nil
		go func() {
			<-started
			var seen strings.Builder
			for _, e := range appends[0].Events {
				seen.WriteString(e.Type)
			}
			finished <- seen.String()
		}()
		return eventstore.Result{}, &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}
	}
	repo := repository(t, store, aggregate.Config{})
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	require.ErrorIs(t, repo.Save(t.Context(), d), eventstore.ErrOutcomeUnknown)
	close(started)
	require.NoError(t, d.Edit(t.Context(), "v1"))
	require.NoError(t, repo.Save(t.Context(), d))
	other := repo.New(event.NewID())
	require.NoError(t, other.Create(t.Context(), "Other"))
	require.NoError(t, repo.Save(t.Context(), other))
	assert.Equal(t, "DocumentCreated", <-finished)
	assert.Len(t, readAll(t, inner, stream(d.ID())), 2)
}

func TestSaveConflict(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id := created(t, repo)
	mine, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	theirs, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, theirs.Edit(t.Context(), "theirs"))
	require.NoError(t, repo.Save(t.Context(), theirs))

	require.NoError(t, mine.Edit(t.Context(), "mine"))
	for range 2 {
		var conflict *eventstore.ConflictError
		require.ErrorAs(t, repo.Save(t.Context(), mine), &conflict)
		assert.Equal(t, eventstore.ConflictError{Stream: stream(id), Expected: eventstore.Exact(1), Actual: 2}, *conflict)
		assert.Len(t, mine.Pending(), 1)
	}
	assert.Len(t, readAll(t, store, stream(id)), 2)
}

func TestSaveTwoNewOfOneID(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	id := event.NewID()
	one, two := repo.New(id), repo.New(id)
	require.NoError(t, one.Create(t.Context(), "one"))
	require.NoError(t, two.Create(t.Context(), "two"))
	require.NoError(t, repo.Save(t.Context(), one))
	require.ErrorIs(t, repo.Save(t.Context(), two), eventstore.ErrConflict)
}

func TestSaveCancelled(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, repo.Save(ctx, d), context.Canceled)
	assert.Len(t, d.Pending(), 1)
	require.NoError(t, repo.Save(t.Context(), d))
}

func TestSaveWhatTheStoreRefuses(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	for name, ctx := range map[string]context.Context{
		"actor_id":  event.WithActor(t.Context(), "nobody-knows:me"),
		"tenant_id": event.WithTenant(t.Context(), "a\x00b"),
		"metadata":  event.WithMetadata(t.Context(), event.Metadata{"bad": make(chan int)}),
	} {
		d := repo.New(event.NewID())
		require.NoError(t, d.Create(ctx, "Plan"))
		var invalid *event.InvalidError
		require.ErrorAs(t, repo.Save(ctx, d), &invalid)
		assert.Contains(t, invalid.Field, name)
	}
	d := repo.New(event.NewID())
	require.NoError(t, d.Emit(t.Context(), Created{Content: strings.Repeat("x", 2<<20)}))
	require.ErrorIs(t, repo.Save(t.Context(), d), eventstore.ErrTooLarge)
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	assert.Zero(t, head, "nothing was stored")
}

func TestSaveAll(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	d, cart := repo.New(event.NewID()), aggregate.New[CartRoot](carts, event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	require.NoError(t, cart.Emit(t.Context(), Filled{Key: "a", Value: 1}, Filled{Key: "b", Value: 2}))

	require.NoError(t, aggregate.SaveAll(t.Context(), store, d, cart))
	assert.EqualValues(t, 1, d.SavedVersion())
	assert.EqualValues(t, 2, cart.SavedVersion())
	assert.EqualValues(t, 3, d.Position())
	assert.EqualValues(t, 3, cart.Position())

	again, err := aggregate.NewRepository[CartRoot](store, carts).Load(t.Context(), cart.ID())
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"a": 1, "b": 2}, again.State().Items)
}

func TestSaveAllIsAllOrNone(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	id := created(t, repo)
	stale, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "faster") }))

	fresh := repo.New(event.NewID())
	require.NoError(t, fresh.Create(t.Context(), "Plan"))
	require.NoError(t, stale.Edit(t.Context(), "too late"))
	require.ErrorIs(t, aggregate.SaveAll(t.Context(), store, fresh, stale), eventstore.ErrConflict)
	assert.Len(t, fresh.Pending(), 1)
	assert.Len(t, stale.Pending(), 1)
	exists, err := repo.Exists(t.Context(), fresh.ID())
	require.NoError(t, err)
	assert.False(t, exists)

	require.NoError(t, aggregate.SaveAll(t.Context(), store, fresh))
	require.NoError(t, aggregate.SaveAll(t.Context(), store, fresh, fresh), "nothing pending")
	require.NoError(t, fresh.Edit(t.Context(), "v1"))
	require.ErrorIs(t, aggregate.SaveAll(t.Context(), store, fresh, fresh), event.ErrInvalid)
}

func TestSaveAllGuardsWhatIsOnlyRead(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	repo := repository(t, store, aggregate.Config{})
	read, err := repo.Load(t.Context(), created(t, repo))
	require.NoError(t, err)
	written := repo.New(event.NewID())
	require.NoError(t, written.Create(t.Context(), "depends on the other"))
	require.NoError(t, repo.Update(t.Context(), read.ID(), func(d *Document) error { return d.Edit(t.Context(), "changed") }))
	require.ErrorIs(t, aggregate.SaveAll(t.Context(), store, written, read), eventstore.ErrConflict)

	read, err = repo.Load(t.Context(), read.ID())
	require.NoError(t, err)
	require.NoError(t, aggregate.SaveAll(t.Context(), store, written, read))
	assert.EqualValues(t, 2, read.SavedVersion())
}

func TestSaveAllRefusesNil(t *testing.T) {
	t.Parallel()
	var missing *Document
	for _, root := range []aggregate.Root{nil, missing} {
		var invalid *event.InvalidError
		require.ErrorAs(t, aggregate.SaveAll(t.Context(), openStore(t), root), &invalid)
		assert.Equal(t, "aggregates[0]", invalid.Field)
	}
}

func TestUpdateLoadsOrMakes(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	id := event.NewID()
	require.ErrorIs(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "v1") }), errNotCreated)
	require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Create(t.Context(), "Plan") }))
	require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "v1") }))
	require.NoError(t, repo.Update(t.Context(), id, func(*Document) error { return nil }), "nothing to do")
	d, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	assert.EqualValues(t, 2, d.Version())
}

func TestUpdateDecidesAgainOnFreshState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		repo := repository(t, store, aggregate.Config{})
		id := created(t, repo)
		var seen []*Document
		var versions []uint64
		err := repo.Update(t.Context(), id, func(d *Document) error {
			seen, versions = append(seen, d), append(versions, d.Version())
			assert.Nil(t, d.Pending())
			if len(seen) < 3 {
				require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "rival") }))
			}
			return d.Edit(t.Context(), "mine after "+d.State().Content)
		})
		require.NoError(t, err)
		assert.Equal(t, []uint64{1, 2, 3}, versions)
		assert.NotSame(t, seen[0], seen[1])
		d, err := repo.Load(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, "mine after rival", d.State().Content)
		assert.EqualValues(t, 4, d.Version())
	})
}

func TestUpdateGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		repo := repository(t, openStore(t), aggregate.Config{MaxAttempts: 3, MinBackoff: time.Second, MaxBackoff: time.Second})
		id := created(t, repo)
		calls := 0
		started := time.Now()
		err := repo.Update(t.Context(), id, func(d *Document) error {
			calls++
			other, loadErr := repo.Load(t.Context(), id)
			require.NoError(t, loadErr)
			require.NoError(t, other.Edit(t.Context(), "rival"))
			require.NoError(t, repo.Save(t.Context(), other))
			return d.Edit(t.Context(), "mine")
		})
		var contention *aggregate.ContentionError
		require.ErrorAs(t, err, &contention)
		require.ErrorIs(t, err, aggregate.ErrContention)
		require.ErrorIs(t, err, eventstore.ErrConflict, "it wraps the last conflict")
		assert.Equal(t, 3, contention.Attempts)
		assert.Equal(t, stream(id), contention.Stream)
		assert.Equal(t, 3, calls)
		assert.LessOrEqual(t, time.Since(started), 2*time.Second, "two pauses of a second at the most")
	})
}

func TestUpdateReturnsWhatDecideSays(t *testing.T) {
	t.Parallel()
	repo := repository(t, openStore(t), aggregate.Config{})
	calls := 0
	err := repo.Update(t.Context(), event.NewID(), func(*Document) error {
		calls++
		return &eventstore.ConflictError{} // of something else
	})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	assert.Equal(t, 1, calls, "an error of decide is not tried again")
}

func TestUpdateEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := openStore(t)
		conflict := &eventstore.ConflictError{}
		store := &fakeStore{Store: inner, onAppend: failing(inner, 1000, conflict, false)}
		repo := repository(t, store, aggregate.Config{MaxAttempts: 1000, MinBackoff: 1000 * time.Hour, MaxBackoff: 1000 * time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := repo.Update(ctx, event.NewID(), func(d *Document) error { return d.Create(ctx, "Plan") })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, eventstore.ErrConflict, "and says what it was waiting for")
	})
}

func TestUpdateResendsTheSame(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := openStore(t)
				unknown := &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}
				store := &fakeStore{Store: inner, onAppend: failing(inner, 3, unknown, after)}
				repo := repository(t, store, aggregate.Config{})
				id, calls := event.NewID(), 0
				require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error {
					calls++
					return d.Create(t.Context(), "Plan")
				}))
				assert.Equal(t, 1, calls, "the decision stands")
				require.Len(t, store.appends, 4)
				for _, again := range store.appends[1:] {
					assert.Equal(t, store.appends[0][0].Events[0].ID, again[0].Events[0].ID)
				}
				assert.Len(t, readAll(t, inner, stream(id)), 1)
			})
		})
	}
}

func TestUpdateWhoseOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	unknown := &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}
	tests := map[string]struct {
		second   error
		attempts int
		again    error
	}{
		"always unknown":   {unknown, 4, nil},
		"then unavailable": {eventstore.ErrUnavailable, 4, nil},
		"then refused":     {eventstore.ErrReadOnly, 2, eventstore.ErrReadOnly},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &fakeStore{Store: openStore(t)}
				store.onAppend = func(context.Context, []eventstore.Append) (eventstore.Result, error) {
					if len(store.appends) == 1 {
						return eventstore.Result{}, unknown
					}
					return eventstore.Result{}, test.second
				}
				repo := repository(t, store, aggregate.Config{MaxAttempts: 4})
				err := repo.Update(t.Context(), event.NewID(), func(d *Document) error { return d.Create(t.Context(), "Plan") })
				require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
				if test.again != nil {
					require.ErrorIs(t, err, test.again)
				}
				assert.Len(t, store.appends, test.attempts)
			})
		})
	}
}

// An unknown outcome that turns out to be a conflict is decided again.
func TestUpdateUnknownThenConflict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := openStore(t)
		rival := repository(t, inner, aggregate.Config{})
		id := created(t, rival)
		store := &fakeStore{Store: inner}
		store.onAppend = func(context.Context, []eventstore.Append) (eventstore.Result, error) {
			store.onAppend = nil
			require.NoError(t, rival.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "rival") }))
			return eventstore.Result{}, &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded}
		}
		repo := repository(t, store, aggregate.Config{})
		calls := 0
		require.NoError(t, repo.Update(t.Context(), id, func(d *Document) error {
			calls++
			return d.Edit(t.Context(), "mine")
		}))
		assert.Equal(t, 2, calls)
		assert.Len(t, readAll(t, inner, stream(id)), 3)
	})
}

func TestUpdateRace(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]aggregate.Config{
		"plain":  {},
		"cached": {CacheSize: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const writers = 16
			store := openStore(t)
			config.MaxAttempts, config.MinBackoff, config.MaxBackoff = 200, time.Microsecond, time.Millisecond
			repo := repository(t, store, config)
			id := created(t, repo)
			var wg sync.WaitGroup
			var failures atomic.Int64
			for range writers {
				wg.Go(func() {
					if repo.Update(t.Context(), id, func(d *Document) error { return d.Edit(t.Context(), "v") }) != nil {
						failures.Add(1)
					}
				})
			}
			wg.Wait()
			assert.Zero(t, failures.Load())
			d, err := repo.Load(t.Context(), id)
			require.NoError(t, err)
			assert.EqualValues(t, 1+writers, d.Version())
			assert.Equal(t, writers, d.State().Edits, "each exactly once")
		})
	}
}
