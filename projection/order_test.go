package projection_test

import (
	"context"
	"errors"
	"strings"
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
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/registry"
)

var notesV1 = registry.Name{Projection: "notes", Version: 1}

func TestARewindLeavesWhatWasParkedBeforeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		early, late := uuid.New(), uuid.New()
		var healed atomic.Bool
		d := &diary{}
		p := projection.New("notes", 1, projection.OnEvery(func(ctx context.Context, e event.Event) error {
			if !healed.Load() && (e.AggregateID == early || e.AggregateID == late) {
				return projection.AsPoison(errors.New("bad"))
			}
			return d.note(ctx, e)
		}))
		noteOn(t, store, early, 2)        // 1, 2
		noteOn(t, store, uuid.New(), 3)   // 3 to 5
		noteOn(t, store, early, 1)        // 6
		noteOn(t, store, late, 2)         // 7, 8
		last := noteOn(t, store, late, 1) // 9
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{First: time.Hour, Most: time.Hour}})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		healed.Store(true)
		order(t, store, notesV1, registry.Order{Kind: registry.Rewind, Position: 4})
		settled(t, store, notesV1)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
		require.NoError(t, err)
		require.Len(t, parked, 1, "the sequence that parked above the position comes again, and is applied now")
		assert.Equal(t, 3, parked[0].Letters)
		assert.Equal(t, []uint64{7, 8, 9}, d.events[late])
		_, err = r.Redrive(t.Context(), "notes")
		require.NoError(t, err)
		assert.Equal(t, []uint64{1, 2, 6}, d.events[early])
		stop()
	})
}

func TestWhatCannotBeRewoundGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		rows := newRows(store)
		ledger := rows.newLedger(t, "notes", func(context.Context, event.Event) error { return nil })
		r, err := projection.NewRunner(store, projection.Config{Progress: rows, Projections: []projection.Projection{ledger.Projection}})
		require.NoError(t, err)
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		for kind, why := range map[registry.Kind]string{
			registry.Rewind: "projection cannot be rewound, since what it has applied would take effect twice",
			registry.Retire: "is live and cannot be retired: switch to another version first",
		} {
			order(t, store, notesV1, registry.Order{Kind: kind})
			refused := settled(t, store, notesV1)
			assert.True(t, refused.Refused())
			assert.Contains(t, refused.Order.Problem, why)
		}
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "two")))
		order(t, store, notesV1, registry.Order{Kind: registry.Switch})
		assert.False(t, settled(t, store, notesV1).Refused(), "the live version is what was asked for")
		stop()
	})
}

func TestAnOrderWaitsForWhatItNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		var down atomic.Bool
		p := projection.New("notes", 1, projection.OnEvery(d.note), projection.OnReset(func(ctx context.Context) error {
			if down.Load() {
				return projection.AsInfrastructure(errors.New("search engine is down"))
			}
			return d.empty(ctx)
		}))
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		last := note(t, store, "one")
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		down.Store(true)
		order(t, store, notesV1, registry.Order{Kind: registry.Rebuild})
		<-time.After(10 * time.Minute)
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Paused, status[0].State)
		require.ErrorContains(t, status[0].LastError, "search engine is down")
		assert.Equal(t, registry.Rebuild, status[0].Order.Kind)
		down.Store(false)
		settled(t, store, notesV1)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		d.requireEach(t, last)
		stop()
	})
}

func TestABoundedRunCarriesOutOrders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{d.projection("notes", 1)}})
		last := fill(t, store, 5, 5)
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		order(t, store, notesV1, registry.Order{Kind: registry.ChangeLanes, Lanes: 4})
		last = max(last, note(t, store, "more"))
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		d.requireEach(t, last)
		require.NoError(t, r.Rebuild(t.Context(), "notes"))
		d.requireEach(t, last)
		assert.Equal(t, 1, d.reset)
	})
}

func TestAMembershipThatIsLostIsTakenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		stop := run(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{d.projection("notes", 1, projection.InLanes(2))}, Owner: "me"}))
		<-time.After(2 * time.Second)
		members, err := store.Leases().List(t.Context(), "member/notes v1/")
		require.NoError(t, err)
		require.Len(t, members, 1)
		require.NoError(t, store.Leases().Release(t.Context(), members[0]))
		<-time.After(10 * time.Second)
		again, err := store.Leases().List(t.Context(), "member/notes v1/")
		require.NoError(t, err)
		require.Len(t, again, 1)
		assert.Greater(t, again[0].Fence, members[0].Fence)
		stop()
	})
}

// A runner whose registry cannot be read goes on with what it knows.
func TestARegistryThatCannotBeReadStopsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		progress := &brokenRegistry{Progress: store}
		r, err := projection.NewRunner(store, projection.Config{Progress: progress, Projections: []projection.Projection{d.projection("notes", 1)}})
		require.NoError(t, err)
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		progress.broken.Store(true)
		last := note(t, store, "two")
		<-time.After(time.Minute)
		d.requireEach(t, last)
		progress.broken.Store(false)
		stop()
	})
}

type brokenRegistry struct {
	projection.Progress

	broken atomic.Bool
}

func (b *brokenRegistry) Registry() registry.Store {
	return unreadable{Store: b.Progress.Registry(), from: b}
}

type unreadable struct {
	registry.Store

	from *brokenRegistry
}

func (u unreadable) List(ctx context.Context, projection string) ([]registry.Record, error) {
	if u.from.broken.Load() {
		return nil, errors.New("registry is down")
	}
	return u.Store.List(ctx, projection)
}

func TestAnObserverThatPanicsDoesNoHarm(t *testing.T) {
	t.Parallel()
	for name, observer := range map[string]projection.Observer{
		"at the beginning": panicking(func(context.Context) (context.Context, func(projection.StepEnd)) { panic("oh") }),
		"at the end": panicking(func(ctx context.Context) (context.Context, func(projection.StepEnd)) {
			return ctx, func(projection.StepEnd) { panic("oh") }
		}),
		"with nothing": panicking(func(context.Context) (context.Context, func(projection.StepEnd)) { return nil, nil }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openMemory(t)
			d := &diary{}
			last := note(t, store, "one")
			r := newRunner(t, store, projection.Config{Projections: []projection.Projection{d.projection("notes", 1)}, Observer: observer})
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			d.requireEach(t, last)
		})
	}
}

type panicking func(ctx context.Context) (context.Context, func(projection.StepEnd))

func (p panicking) Begin(ctx context.Context, _ projection.Step) (context.Context, func(projection.StepEnd)) {
	return p(ctx)
}

// A process that is frozen for longer than its lease does not even begin to write
// when it wakes, though nobody has taken over.
func TestAProcessThatWakesAfterItsLeaseAppliesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var clock atomic.Int64 // seconds that this process has slept
		calls := 0
		p := projection.New("notes", 1, projection.OnEvery(func(context.Context, event.Event) error { calls++; return nil }))
		r := newRunner(t, store, projection.Config{
			Projections: []projection.Projection{p}, LeaseTTL: time.Hour,
			Now: func() time.Time { return time.Now().Add(time.Duration(clock.Load()) * time.Second) },
		})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		clock.Store(3601)
		note(t, store, "two")
		synctest.Wait()
		assert.Equal(t, 1, calls)
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		require.ErrorContains(t, status[0].LastError, "has expired or was taken over")
		require.NoError(t, r.WaitFor(t.Context(), "notes", 2), "and it takes its turn again")
		stop()
	})
}

func TestBadConfigurationsOfLanesAndVersions(t *testing.T) {
	t.Parallel()
	ok := func(parts ...projection.Part) projection.Projection {
		return projection.New("notes", 1, append(parts, projection.On(onNoted))...)
	}
	for want, config := range map[string]projection.Config{
		`"0": must be from 1 to 1024`:                 {Projections: []projection.Projection{ok(projection.InLanes(0))}},
		`"1025": must be from 1 to 1024`:              {Projections: []projection.Projection{ok(projection.InLanes(1025))}},
		"function given to OnRewind is nil":           {Projections: []projection.Projection{ok(projection.OnRewind(nil))}},
		"is the name of two projections of version 1": {Projections: []projection.Projection{ok(), ok()}},
		"owner has 225 bytes, the limit is 224":       {Projections: []projection.Projection{ok()}, Owner: strings.Repeat("o", 225)},
		"invalid circuit: must not be negative":       {Projections: []projection.Projection{ok()}, Circuit: -1},
	} {
		require.ErrorContains(t, config.Validate(), want)
	}
}

func TestARedriveOfAPausedVersionIsRefused(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	driver := projectiontest.New(t, store, projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { return projection.AsPoison(errors.New("bad")) })))
	driver.Append(t.Context(), "Note", uuid.New(), noted{Text: "x"})
	driver.CatchUpParking(t.Context())
	change(t, store, notesV1, func(r *registry.Record) { r.Pause = registry.Pause{Reason: "why", At: time.Now()} })
	_, err := driver.Runner().Redrive(t.Context(), "notes")
	require.ErrorIs(t, err, projection.ErrInactive)
	_, err = store.Leases().Acquire(t.Context(), "projection/notes v1", "next", time.Second)
	require.NoError(t, err, "and leaves no lease behind")
	require.NotErrorIs(t, err, lease.ErrHeld)
}

func TestAReactorGoesOnWhereTheVersionBeforeItStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		note(t, store, "before anybody listens")
		var mu sync.Mutex
		sent := map[uint64][]int{} // by position, the versions that have sent
		reactor := func(version int) projection.Projection {
			return projection.NewReactor("mail", version, projection.InLanes(2), projection.OnEvery(func(_ context.Context, e event.Event) error {
				mu.Lock()
				defer mu.Unlock()
				sent[e.Position] = append(sent[e.Position], version)
				return nil
			}))
		}
		v1, v2 := registry.Name{Projection: "mail", Version: 1}, registry.Name{Projection: "mail", Version: 2}
		stopOld := run(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{reactor(1)}}))
		<-time.After(2 * time.Second)
		note(t, store, "for the first version")
		fresh := newRunner(t, store, projection.Config{Projections: []projection.Projection{reactor(2)}})
		require.NoError(t, fresh.RunUntilCaughtUp(t.Context()), "it has nothing to do yet")
		stop := run(t, fresh)
		<-time.After(5 * time.Second)
		note(t, store, "for the first version, too")
		<-time.After(5 * time.Second)
		assert.Equal(t, map[uint64][]int{2: {1}, 3: {1}}, sent)
		r, err := store.Registry().Load(t.Context(), v2)
		require.NoError(t, err)
		assert.Equal(t, registry.CaughtUp, r.State)
		order(t, store, v2, registry.Order{Kind: registry.Switch})
		settled(t, store, v2)
		note(t, store, "for the second")
		<-time.After(5 * time.Second)
		assert.Equal(t, map[uint64][]int{2: {1}, 3: {1}, 4: {2}}, sent)
		for _, kind := range []registry.Kind{registry.Rebuild, registry.Rewind} {
			order(t, store, v2, registry.Order{Kind: kind})
			assert.Contains(t, settled(t, store, v2).Order.Problem, "live-only")
		}
		order(t, store, v1, registry.Order{Kind: registry.Retire})
		assert.Equal(t, registry.Retired, settled(t, store, v1).State)
		stopOld()
		stop()
	})
}

func TestAReactorMayBeginAtTheFirstEvent(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	last := note(t, store, "one")
	var calls atomic.Uint64
	p := projection.NewReactor("mail", 1, projection.StartAt(projection.StartAtFirst), projection.OnEvery(func(context.Context, event.Event) error { calls.Add(1); return nil }))
	require.NoError(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{p}}).RunUntilCaughtUp(t.Context()))
	assert.Equal(t, last, calls.Load())
}
