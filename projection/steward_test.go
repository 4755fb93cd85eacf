package projection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// order asks for something, as a command does.
func order(t *testing.T, store *memory.Store, name registry.Name, o registry.Order) {
	t.Helper()
	o.Reason, o.At = "test", time.Now()
	change(t, store, name, func(r *registry.Record) { r.Order = o })
}

func change(t *testing.T, store *memory.Store, name registry.Name, f func(*registry.Record)) {
	t.Helper()
	r, err := store.Registry().Load(t.Context(), name)
	require.NoError(t, err)
	f(&r)
	_, err = store.Registry().Save(t.Context(), r)
	require.NoError(t, err)
}

// settled waits until no order is pending, and returns the record.
func settled(t *testing.T, store *memory.Store, name registry.Name) registry.Record {
	t.Helper()
	for range 1000 {
		r, err := store.Registry().Load(t.Context(), name)
		require.NoError(t, err)
		if !r.Ordered() {
			return r
		}
		<-time.After(100 * time.Millisecond) // simulated
	}
	require.Fail(t, "order was not carried out")
	return registry.Record{}
}

// diary writes down which events were applied, by stream.
type diary struct {
	mu      sync.Mutex
	events  map[uuid.UUID][]uint64
	all     []uint64
	reset   int
	delay   time.Duration
	running atomic.Int64
	peak    int64
}

func (d *diary) note(_ context.Context, e event.Event) error {
	n := d.running.Add(1)
	defer d.running.Add(-1)
	if d.delay > 0 {
		<-time.After(d.delay)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peak = max(d.peak, n)
	if d.events == nil {
		d.events = make(map[uuid.UUID][]uint64)
	}
	d.events[e.AggregateID] = append(d.events[e.AggregateID], e.Position)
	d.all = append(d.all, e.Position)
	return nil
}

func (d *diary) empty(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events, d.all, d.reset = nil, nil, d.reset+1
	return nil
}

// cut takes out what stands above a position.
func (d *diary) cut(position uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	above := func(p uint64) bool { return p > position }
	d.all = slices.DeleteFunc(d.all, above)
	for id := range d.events {
		d.events[id] = slices.DeleteFunc(d.events[id], above)
	}
	return nil
}

func (d *diary) projection(name string, version int, parts ...projection.Part) projection.Projection {
	parts = append(parts, projection.OnEvery(d.note), projection.OnReset(d.empty))
	return projection.New(name, version, parts...)
}

// requireEach requires that every event up to last was applied, once, and those
// of a stream in order.
func (d *diary) requireEach(t *testing.T, last uint64) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Sorted(slices.Values(d.all))
	require.Len(t, all, int(last))
	for i, position := range all {
		require.Equal(t, uint64(i+1), position)
	}
	for id, positions := range d.events {
		require.True(t, slices.IsSorted(positions), "stream %s: %v", id, positions)
	}
}

func fill(t *testing.T, store *memory.Store, streams, each int) uint64 {
	t.Helper()
	ids := make([]uuid.UUID, streams)
	for i := range ids {
		ids[i] = uuid.New()
	}
	var last uint64
	for range each {
		for _, id := range ids {
			last = noteOn(t, store, id, 1)
		}
	}
	return last
}

func TestLanesShareTheEventsAndKeepTheOrderOfStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{delay: time.Millisecond}
		last := fill(t, store, 100, 5)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{d.projection("notes", 1, projection.InLanes(4))}})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		d.requireEach(t, last)
		assert.Equal(t, int64(4), d.peak, "lanes run at once")
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		require.Len(t, status[0].Lanes, 4)
		assert.Equal(t, last, status[0].Position)
		assert.Equal(t, last, status[0].Applied)
		assert.Equal(t, registry.Live, status[0].Stage)
		list, err := store.Checkpoints().List(t.Context(), "notes")
		require.NoError(t, err)
		assert.Len(t, list, 4)
		stop()
	})
}

func TestLanesAreChangedAtRunTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{delay: time.Millisecond}
		last := fill(t, store, 20, 20)
		p := d.projection("notes", 1, projection.InLanes(2))
		name := registry.Name{Projection: "notes", Version: 1}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, BatchSize: 7})
		stop := run(t, r)
		for _, lanes := range []int{8, 3, 1, 1024, 5} {
			<-time.After(20 * time.Millisecond)
			order(t, store, name, registry.Order{Kind: registry.ChangeLanes, Lanes: lanes})
			last = fill(t, store, 20, 5)
			require.Equal(t, lanes, settled(t, store, name).Lanes)
		}
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		d.requireEach(t, last)
		stop()
	})
}

func TestLanesSpreadEvenlyOverRunners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		p := d.projection("notes", 1, projection.InLanes(8))
		lanesOf := func(owner string) (n int) {
			held, err := store.Leases().List(t.Context(), "projection/")
			require.NoError(t, err)
			for _, l := range held {
				if l.Owner == owner {
					n++
				}
			}
			return n
		}
		var stops []func()
		for i, owner := range []string{"a", "b", "c", "d"} {
			stops = append(stops, run(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Owner: owner})))
			<-time.After(10 * time.Second)
			for _, other := range []string{"a", "b", "c", "d"}[:i+1] {
				assert.InDelta(t, 8.0/float64(i+1), lanesOf(other), 0.99, "%s of %d", other, i+1)
			}
		}
		stops[1]()
		stops[2]()
		<-time.After(5 * time.Second)
		assert.Equal(t, 4, lanesOf("a"))
		assert.Equal(t, 4, lanesOf("d"))
		last := fill(t, store, 50, 3)
		require.NoError(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{p}}).WaitFor(t.Context(), "notes", last))
		d.requireEach(t, last)
		stops[0]()
		stops[3]()
	})
}

func TestAPauseOutlivesTheRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		p := d.projection("notes", 1)
		name := registry.Name{Projection: "notes", Version: 1}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", note(t, store, "one")))
		change(t, store, name, func(r *registry.Record) {
			r.Pause = registry.Pause{Reason: "disk is full", By: event.User("ada"), At: time.Now()}
		})
		<-time.After(2 * time.Second)
		last := note(t, store, "two")
		<-time.After(time.Minute)
		d.requireEach(t, 1)
		stop()
		again := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		require.ErrorIs(t, again.RunUntilCaughtUp(t.Context()), projection.ErrInactive)
		stop = run(t, again)
		<-time.After(time.Minute)
		status, err := again.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Paused, status[0].State)
		require.ErrorContains(t, status[0].LastError, `was paused by user:ada: disk is full`)
		assert.Equal(t, "disk is full", status[0].Pause.Reason)
		change(t, store, name, func(r *registry.Record) { r.Pause = registry.Pause{} })
		require.NoError(t, again.WaitFor(t.Context(), "notes", last))
		d.requireEach(t, 2)
		stop()
	})
}

func TestOrdersAreCarriedOutByARunnerThatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		name := registry.Name{Projection: "notes", Version: 1}
		p := d.projection("notes", 1, projection.InLanes(3), projection.OnRewind(func(_ context.Context, position uint64) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			above := func(p uint64) bool { return p > position }
			d.all = slices.DeleteFunc(d.all, above)
			for id := range d.events {
				d.events[id] = slices.DeleteFunc(d.events[id], above)
			}
			return nil
		}))
		last := fill(t, store, 10, 10)
		config := projection.Config{Projections: []projection.Projection{p}}
		a, b := newRunner(t, store, config), newRunner(t, store, config)
		stopA, stopB := run(t, a), run(t, b)
		require.NoError(t, a.WaitFor(t.Context(), "notes", last))
		order(t, store, name, registry.Order{Kind: registry.Rebuild})
		settled(t, store, name)
		require.NoError(t, a.WaitFor(t.Context(), "notes", last))
		<-time.After(10 * time.Second)
		d.requireEach(t, last)
		assert.Equal(t, 1, d.reset)
		order(t, store, name, registry.Order{Kind: registry.Rewind, Position: 37})
		settled(t, store, name)
		<-time.After(10 * time.Second)
		d.requireEach(t, last)
		assert.Equal(t, 1, d.reset)
		order(t, store, name, registry.Order{Kind: registry.Retire})
		refused := settled(t, store, name)
		assert.Contains(t, refused.Order.Problem, "is live and cannot be retired")
		last = note(t, store, "and it goes on")
		require.NoError(t, b.WaitFor(t.Context(), "notes", last))
		stopA()
		stopB()
	})
}

func TestAVersionIsBuiltBesideTheLiveOneAndSwitchedTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		old, fresh := &diary{}, &diary{}
		v1, v2 := registry.Name{Projection: "notes", Version: 1}, registry.Name{Projection: "notes", Version: 2}
		oldRunner := newRunner(t, store, projection.Config{Projections: []projection.Projection{old.projection("notes", 1)}})
		stopOld := run(t, oldRunner)
		last := fill(t, store, 10, 10)
		require.NoError(t, oldRunner.WaitFor(t.Context(), "notes", last))
		both := newRunner(t, store, projection.Config{Projections: []projection.Projection{old.projection("notes", 1), fresh.projection("notes", 2, projection.InLanes(2))}})
		stopBoth := run(t, both)
		<-time.After(5 * time.Second)
		r, err := store.Registry().Load(t.Context(), v2)
		require.NoError(t, err)
		assert.Equal(t, registry.CaughtUp, r.State)
		fresh.requireEach(t, last)
		order(t, store, v2, registry.Order{Kind: registry.Switch})
		last = note(t, store, "during the switch")
		assert.Equal(t, registry.Live, settled(t, store, v2).State)
		r, err = store.Registry().Load(t.Context(), v1)
		require.NoError(t, err)
		assert.Equal(t, registry.Replaced, r.State)
		require.NoError(t, both.WaitFor(t.Context(), "notes", last))
		last = note(t, store, "after it")
		require.NoError(t, both.WaitFor(t.Context(), "notes", last), "of two versions the live one counts")
		fresh.requireEach(t, last)
		<-time.After(10 * time.Second)
		assert.Less(t, len(old.all), int(last), "the old one does not run any more")
		order(t, store, v1, registry.Order{Kind: registry.Retire})
		assert.Equal(t, registry.Retired, settled(t, store, v1).State)
		assert.Empty(t, old.all)
		order(t, store, v1, registry.Order{Kind: registry.Rebuild})
		settled(t, store, v1)
		<-time.After(5 * time.Second)
		r, err = store.Registry().Load(t.Context(), v1)
		require.NoError(t, err)
		assert.Equal(t, registry.CaughtUp, r.State, "and can be switched back to")
		old.requireEach(t, last)
		stopOld()
		stopBoth()
	})
}

func TestVersionsOnlyGoUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		require.NoError(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{(&diary{}).projection("notes", 3)}}).RunUntilCaughtUp(t.Context()))
		older := newRunner(t, store, projection.Config{Projections: []projection.Projection{(&diary{}).projection("notes", 2)}})
		for _, err := range []error{older.Run(t.Context()), older.RunUntilCaughtUp(t.Context())} {
			require.ErrorIs(t, err, projection.ErrOlderVersion)
			require.ErrorContains(t, err, "notes v2 never ran, and version 3 is live: versions only go up")
		}
	})
}

func TestAVersionWithoutCodeIsRetired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		gone := registry.Name{Projection: "gone", Version: 1}
		_, err := store.Registry().Save(t.Context(), registry.Record{Name: gone, State: registry.Replaced, Since: time.Now(), Lanes: 2})
		require.NoError(t, err)
		require.NoError(t, store.Checkpoints().Move(t.Context(), checkpoint.Key{Projection: "gone", Version: 1, Lane: 1}, checkpoint.Move{To: 3, StoreID: store.ID()}))
		stop := run(t, newRunner(t, store, projection.Config{Projections: []projection.Projection{(&diary{}).projection("notes", 1)}}))
		order(t, store, gone, registry.Order{Kind: registry.Retire})
		assert.Equal(t, registry.Retired, settled(t, store, gone).State)
		list, err := store.Checkpoints().List(t.Context(), "gone")
		require.NoError(t, err)
		assert.Zero(t, list[0].Position)
		stop()
	})
}

func TestAnOpenCircuitPausesAndSkipsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		var broken atomic.Bool
		broken.Store(true)
		p := projection.New("notes", 1, projection.OnEvery(func(ctx context.Context, e event.Event) error {
			if broken.Load() {
				return errors.New("column does not exist")
			}
			return d.note(ctx, e)
		}))
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Circuit: 5})
		stop := run(t, r)
		last := fill(t, store, 50, 1)
		<-time.After(time.Hour)
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Paused, status[0].State)
		assert.Equal(t, 5, status[0].DeadLetters.Letters, "nothing more parks")
		assert.Equal(t, uint64(6), status[0].ErrorAt)
		require.ErrorContains(t, status[0].LastError, "5 events in a row have parked")
		broken.Store(false)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		_, err = r.Redrive(t.Context(), "notes")
		require.NoError(t, err)
		d.requireEach(t, last)
		stop()
	})
}

// steps notes what an observer is told.
type steps struct {
	mu    sync.Mutex
	lines []string
}

func (s *steps) Begin(ctx context.Context, step projection.Step) (context.Context, func(projection.StepEnd)) {
	return context.WithValue(ctx, s, step.Kind), func(end projection.StepEnd) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, fmt.Sprintf("%s %s %d-%d of %d %q: %d applied, %d parked, %v", step.Kind, step.Projection, step.First, step.Last, step.Events, step.Detail, end.Applied, end.Parked, end.Err))
	}
}

func TestAnObserverIsToldOfEachStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		seen := &steps{}
		bad := uuid.New()
		var healed atomic.Bool
		p := projection.New("notes", 1, projection.OnReset(func(context.Context) error { return nil }), projection.OnEvery(func(ctx context.Context, e event.Event) error {
			assert.NotNil(t, ctx.Value(seen), "handlers get the observer's context")
			if e.AggregateID == bad && !healed.Load() {
				return projection.AsPoison(errors.New("bad"))
			}
			return nil
		}))
		noteOn(t, store, uuid.New(), 1)
		noteOn(t, store, bad, 2)
		name := registry.Name{Projection: "notes", Version: 1}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Observer: seen})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		healed.Store(true)
		_, err := r.Redrive(t.Context(), "notes")
		require.NoError(t, err)
		order(t, store, name, registry.Order{Kind: registry.Rebuild})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		assert.Equal(t, []string{
			`apply notes 1-3 of 3 "": 1 applied, 2 parked, <nil>`,
			fmt.Sprintf(`redrive notes 0-0 of 0 "Note/%s": 2 applied, 0 parked, <nil>`, bad),
			`order notes 0-0 of 0 "rebuild": 0 applied, 0 parked, <nil>`,
			`apply notes 1-3 of 3 "": 3 applied, 0 parked, <nil>`,
		}, seen.lines)
	})
}

func TestARetryUntilAPositionLeavesTheRestToACommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		d := &diary{}
		var healed atomic.Bool
		p := projection.New("notes", 1, projection.OnEvery(func(ctx context.Context, e event.Event) error {
			if !healed.Load() {
				return projection.AsPoison(errors.New("bad"))
			}
			return d.note(ctx, e)
		}))
		last := noteOn(t, store, uuid.New(), 5)
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{First: 100 * time.Hour, Most: 100 * time.Hour}})
		stop := run(t, r)
		require.NoError(t, r.WaitFor(t.Context(), "notes", last))
		healed.Store(true)
		parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
		require.NoError(t, err)
		require.Len(t, parked, 1)
		require.NoError(t, store.DeadLetters().ScheduleUntil(t.Context(), parked[0].Sequence, time.Now(), 3))
		<-time.After(5 * time.Second)
		d.requireEach(t, 3)
		<-time.After(20 * time.Hour)
		d.requireEach(t, 3)
		_, err = r.Redrive(t.Context(), "notes")
		require.NoError(t, err)
		d.requireEach(t, last)
		stop()
	})
}

// TestTrapStoppedWhileTheRunnerEnds has a projection stop for good in the moment in
// which its runner is told to end. Run says why all the same.
func TestTrapStoppedWhileTheRunnerEnds(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	_, err := store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Order", AggregateID: uuid.New()}, Events: []event.Event{{
		ID: uuid.New(), Type: "Placed", SchemaVersion: 1, ActorID: "user:1", OccurredAt: time.Now(), Data: []byte(`{}`),
	}}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ending := zap.Hooks(func(e zapcore.Entry) error {
		if e.Message == "projection stopped" {
			cancel()
		}
		return nil
	})
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{projection.New("sick", 1, projection.OnEvery(func(context.Context, event.Event) error {
			return projection.AsPoison(errors.New("sick"))
		}))},
		OnPoison: projection.Stop,
		Logger:   zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.ErrorLevel), ending),
	})
	require.NoError(t, err)
	require.ErrorIs(t, runner.Run(ctx), projection.ErrStopped)
}
