package process_test

import (
	"context"
	"errors"
	"iter"
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
	"go.uber.org/zap/zaptest/observer"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
)

// marks is the checkpoint of the timeouts.
var marks = checkpoint.Key{Projection: "Fulfilment/timeouts", Version: 1}

// inTime runs a test in simulated time, on a store of its own.
func inTime(t *testing.T, test func(t *testing.T, store projection.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, openMemory(t)) })
}

// pass lets simulated time pass, and waits until everybody has done what they
// do at its end.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// start has a manager look after timeouts until stop is called.
func start(t *testing.T, m *process.Manager[Fulfilment]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		assert.Equal(t, projection.Idle, m.Status().State)
	})
}

// realTime is the clock of a config that a test leaves as it is by default.
func realTime(c *process.Config) { c.Now = nil }

// elapsed returns the timeouts that have come, and checks that none was early,
// and none came twice.
func elapsed(t tester, store eventstore.Store) []event.Event {
	t.Helper()
	var found []event.Event
	seen := make(map[uuid.UUID]bool)
	for e, err := range store.ReadAll(t.Context(), eventstore.Query{Types: []string{"ProcessTimeoutElapsed"}}) {
		require.NoError(t, err)
		var p process.TimeoutElapsed
		require.NoError(t, event.JSON{}.Decode(e.Data, &p))
		require.False(t, e.OccurredAt.Before(p.Due), "it is early: due %s, recorded at %s", p.Due, e.OccurredAt)
		require.False(t, seen[p.Set], "it came twice")
		require.Equal(t, p.Set, e.CausationID)
		seen[p.Set] = true
		found = append(found, e)
	}
	return found
}

func TestTimeoutComesWhenItIsDue(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o, id := openOffice(t, store, newClock(), realTime), event.NewID()
		defer start(t, o.manager)()
		o.place(t, id)
		o.react(t)
		due := o.show(t, id).Timeouts["payment"]
		pass(time.Second)
		assert.Equal(t, process.Status{State: projection.Live, Waiting: 1, Next: due, Heartbeat: o.manager.Status().Heartbeat}, o.manager.Status())

		pass(patience - time.Second - time.Nanosecond)
		assert.Empty(t, elapsed(t, store), "not before")
		pass(time.Microsecond)
		require.Len(t, elapsed(t, store), 1)
		e := elapsed(t, store)[0]
		assert.Equal(t, due, e.OccurredAt, "and not after")
		reaction := event.Reaction{Reactor: "Fulfilment", Step: "elapsed", Cause: e.CausationID}
		assert.Equal(t, reaction.EventID("", "Fulfilment", id, 0, 0), e.ID)
		o.react(t)
		assert.Equal(t, process.Over, o.show(t, id).Phase)
		assert.Zero(t, o.manager.Status().Waiting)

		pass(time.Hour)
		assert.Len(t, elapsed(t, store), 1)
	})
}

func TestTimeoutsComeInOrder(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o := openOffice(t, store, newClock(), realTime)
		defer start(t, o.manager)()
		ids := make([]uuid.UUID, 20)
		for i := range ids {
			ids[i] = event.NewID()
			o.place(t, ids[i])
			o.react(t)
			pass(time.Second)
		}
		pass(patience)
		var came []uuid.UUID
		for _, e := range elapsed(t, store) {
			came = append(came, e.AggregateID)
		}
		assert.Equal(t, ids, came)
	})
}

// The program is stopped and started again, once before a timeout is due and
// once when it is long past.
func TestTimeoutsOutliveTheProgram(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o, first, second := openOffice(t, store, newClock(), realTime), event.NewID(), event.NewID()
		stop := start(t, o.manager)
		o.place(t, first)
		o.react(t)
		pass(patience / 3)
		stop()
		o.place(t, second)
		o.react(t)
		pass(patience / 3)
		stop = start(t, openOffice(t, store, newClock(), realTime).manager)
		pass(patience / 3)
		assert.Len(t, elapsed(t, store), 1)
		stop()

		pass(24 * time.Hour)
		assert.Len(t, elapsed(t, store), 1)
		stop = start(t, openOffice(t, store, newClock(), realTime).manager)
		synctest.Wait()
		assert.Len(t, elapsed(t, store), 2, "late rather than never")
		stop()
	})
}

// The clock goes back an hour before the timeout comes, and once it jumps ahead.
func TestTimeoutsComeByTheClock(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		var offset atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		o, id := openOffice(t, store, newClock(), func(c *process.Config) { c.Now = now }), event.NewID()
		defer start(t, o.manager)()
		o.place(t, id)
		o.react(t)
		pass(patience / 2)
		offset.Store(-int64(time.Hour))
		pass(time.Hour)
		assert.Empty(t, elapsed(t, store), "it is not due by the clock")
		offset.Store(int64(time.Hour))
		pass(5 * time.Second)
		assert.Len(t, elapsed(t, store), 1)
	})
}

// The clock goes back between the look at it and the record.
func TestTimeoutIsNotRecordedEarly(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		var looks atomic.Int64
		var armed atomic.Bool
		now := func() time.Time {
			if armed.Load() && looks.Add(1) == 4 { // the claim, the round, the queue, the instance
				return time.Now().Add(-time.Hour)
			}
			return time.Now()
		}
		o, id := openOffice(t, store, newClock(), func(c *process.Config) { c.Now = now }), event.NewID()
		o.place(t, id)
		o.react(t)
		pass(patience)
		armed.Store(true)
		defer start(t, o.manager)()
		synctest.Wait()
		assert.Empty(t, elapsed(t, store))
		require.ErrorContains(t, o.manager.Status().LastError, "the clock went back")
		pass(time.Minute)
		assert.Len(t, elapsed(t, store), 1)
	})
}

func TestTimeoutsThatAreNotWaitedForAnyMore(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o := openOffice(t, store, newClock(), realTime)
		defer start(t, o.manager)()
		paid, over, again := event.NewID(), event.NewID(), event.NewID()
		var m *process.Manager[Fulfilment]
		for _, id := range []uuid.UUID{paid, over, again} {
			o.place(t, id)
		}
		o.react(t)
		o.pay(t, paid) // cancels it
		o.react(t)
		m, err := process.NewManager(store, process.Define("Fulfilment", 1,
			process.StartOn(process.ByAggregate, do(func(p *process.Instance[Fulfilment]) {
				if p.ID() == over {
					p.Done()
					return
				}
				p.SetTimeout("payment", 2*patience)
			})),
			process.OnTimeout("payment", func(context.Context, *process.Instance[Fulfilment]) error { return nil }),
			process.Apply(func(*Fulfilment, event.Of[Asked]) {}),
			process.Apply(func(*Fulfilment, event.Of[Packed]) {}),
		), process.Config{})
		require.NoError(t, err)
		for _, id := range []uuid.UUID{over, again} {
			e := event.Event{ID: event.NewID(), Type: "OrderPlaced", SchemaVersion: 1, AggregateType: "Order", AggregateID: id, Position: 1000, Data: []byte("{}")}
			require.NoError(t, m.Projection().Apply(t.Context(), nil, e))
		}
		pass(time.Second)
		assert.Equal(t, 1, o.manager.Status().Waiting)
		pass(patience)
		assert.Empty(t, elapsed(t, store))
		pass(patience)
		require.Len(t, elapsed(t, store), 1)
		assert.Equal(t, again, elapsed(t, store)[0].AggregateID)
	})
}

// An instance waits for several things at once, each by itself.
func TestTimeoutsOfOneInstance(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		var came []string
		parts := []process.Part[Fulfilment]{
			process.StartOn(process.ByAggregate, do(func(p *process.Instance[Fulfilment]) {
				for i, name := range []string{"a", "b", "c", "d"} {
					p.SetTimeout(name, time.Duration(i+1)*time.Minute)
				}
			})),
			process.On(func(e event.Of[PaymentReceived]) uuid.UUID { return e.Payload.Order },
				func(_ context.Context, p *process.Instance[Fulfilment], _ event.Of[PaymentReceived]) error {
					p.CancelTimeout("b")
					p.SetTimeout("c", time.Hour)
					return nil
				}),
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			parts = append(parts, process.OnTimeout(name, func(context.Context, *process.Instance[Fulfilment]) error {
				came = append(came, name)
				return nil
			}))
		}
		m, err := process.NewManager(store, process.Define("Fulfilment", 1, append(parts, process.StartAt[Fulfilment](projection.StartAtFirst))...), process.Config{})
		require.NoError(t, err)
		defer start(t, m)()
		o, id := openOffice(t, store, newClock()), event.NewID()
		o.runner, err = projection.NewRunner(store, projection.Config{Projections: []projection.Projection{m.Projection()}})
		require.NoError(t, err)
		o.place(t, id)
		o.react(t)
		pass(time.Second)
		assert.Equal(t, 4, m.Status().Waiting)
		o.pay(t, id)
		o.react(t)
		pass(time.Second)
		assert.Equal(t, 3, m.Status().Waiting)
		for _, want := range [][]string{{"a"}, {"a"}, {"a"}, {"a", "d"}} {
			pass(time.Minute)
			o.react(t)
			assert.Equal(t, want, came)
		}
		pass(time.Hour)
		o.react(t)
		assert.Equal(t, []string{"a", "d", "c"}, came)
		assert.Zero(t, m.Status().Waiting)
	})
}

// What a keeper does not know of yet because it is slow to read, the instance
// does: here all it reads is the TimeoutSet.
func TestTimeoutIsJudgedByItsInstance(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o, paid, again := openOffice(t, store, newClock(), realTime), event.NewID(), event.NewID()
		for _, id := range []uuid.UUID{paid, again} {
			o.place(t, id)
			o.react(t)
		}
		o.pay(t, paid)
		o.react(t)
		pass(patience)
		deaf := &deaf{Store: store}
		stop := start(t, openOffice(t, deaf, newClock(), realTime).manager)
		synctest.Wait()
		stop()
		require.Len(t, elapsed(t, store), 1)
		assert.Equal(t, again, elapsed(t, store)[0].AggregateID)
	})
}

// deaf shows nothing but timeouts that are set.
type deaf struct{ projection.Store }

func (s *deaf) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	query.Types = []string{"ProcessTimeoutSet"}
	return s.Store.ReadAll(ctx, query)
}

// Two managers that do not know of each other look after the same timeouts;
// one of them is held up on its way to the store.
func TestTimeoutComesOnceWhereTwoLookAfterIt(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o, ids := openOffice(t, store, newClock(), realTime), make([]uuid.UUID, 10)
		slow := &slow{Store: store}
		defer start(t, openOffice(t, slow, newClock(), realTime).manager)()
		defer start(t, openOffice(t, store, newClock(), realTime, func(c *process.Config) { c.Progress = openMemory(t) }).manager)()
		for i := range ids {
			ids[i] = event.NewID()
			o.place(t, ids[i])
		}
		o.react(t)
		slow.by.Store(int64(time.Second))
		pass(patience + time.Minute)
		assert.Len(t, elapsed(t, store), len(ids))
		o.react(t)
		for _, id := range ids {
			assert.Equal(t, parcelState{Packed: 1, Unpacked: 1}, o.parcel(t, id))
		}
	})
}

// slow is a store whose appends take time.
type slow struct {
	projection.Store

	by atomic.Int64
}

func (s *slow) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	<-time.After(time.Duration(s.by.Load()))
	return s.Store.Append(ctx, appends...)
}

// One manager works, the other waits, and takes over: at once after a clean
// stop, and when the lease has run out after a crash.
func TestTimeoutsAreTakenOver(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		named := func(name string) func(*process.Config) {
			return func(c *process.Config) { c.Now, c.Owner, c.LeaseTTL = nil, name, 10*time.Second }
		}
		doomed := &mortal{Store: store, writes: 1000}
		a, b := openOffice(t, doomed, newClock(), named("a")), openOffice(t, store, newClock(), named("b"))
		ctx, cancel := context.WithCancel(t.Context())
		doomed.die = cancel
		done := make(chan error, 1)
		go func() { done <- a.manager.Run(ctx) }()
		synctest.Wait()
		stopB := start(t, b.manager)
		pass(time.Minute)
		assert.Equal(t, projection.Live, a.manager.Status().State)
		assert.Equal(t, projection.Waiting, b.manager.Status().State)

		// a's process is frozen: its lease is neither renewed nor released
		held, err := store.Leases().Acquire(ctx, "process/Fulfilment/timeouts", "a", 10*time.Second)
		require.NoError(t, err)
		cancel()
		require.NoError(t, <-done)
		frozen, err := store.Leases().Acquire(t.Context(), held.Name, "a", 10*time.Second)
		require.NoError(t, err)
		pass(9 * time.Second)
		assert.Equal(t, projection.Waiting, b.manager.Status().State)
		pass(2 * time.Second)
		assert.Equal(t, projection.Live, b.manager.Status().State, "within the lease and a second")

		move := checkpoint.Move{StoreID: store.ID(), Fence: frozen.Fence}
		require.ErrorIs(t, store.Checkpoints().Move(t.Context(), marks, move), checkpoint.ErrMoved, "who wakes moves nothing any more")

		c := openOffice(t, store, newClock(), named("c"))
		stopC := start(t, c.manager)
		pass(time.Minute)
		assert.Equal(t, projection.Waiting, c.manager.Status().State)
		stopB()
		pass(time.Second)
		assert.Equal(t, projection.Live, c.manager.Status().State, "at once after a clean stop")
		stopC()
	})
}

// Somebody takes the lease of a manager that slept: it waits for it again.
func TestLostLease(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		sleepy := &sleepyLeases{Store: store}
		core, logs := observer.New(zap.WarnLevel)
		o := openOffice(t, sleepy, newClock(), realTime, func(c *process.Config) { c.LeaseTTL, c.Logger = 3*time.Second, zap.New(core) })
		defer start(t, o.manager)()
		pass(time.Minute)
		assert.Equal(t, projection.Live, o.manager.Status().State)
		sleepy.asleep.Store(true)
		pass(10 * time.Second)
		assert.Equal(t, projection.Live, o.manager.Status().State, "nobody else wants it")
		assert.NotZero(t, logs.FilterMessage("lease of timeouts could not be renewed").Len())

		other, err := store.Leases().Acquire(t.Context(), "process/Fulfilment/timeouts", "other", time.Minute)
		require.NoError(t, err)
		sleepy.asleep.Store(false)
		pass(5 * time.Second)
		assert.Equal(t, projection.Waiting, o.manager.Status().State)
		require.NoError(t, store.Leases().Release(t.Context(), other))
		pass(time.Second)
		assert.Equal(t, projection.Live, o.manager.Status().State)
	})
}

// sleepyLeases is a store whose leases cannot be reached for a while.
type sleepyLeases struct {
	projection.Store

	asleep atomic.Bool
}

var errAsleep = errors.New("asleep")

func (s *sleepyLeases) Leases() lease.Store { return &sleepyLease{s.Store.Leases(), s} }

type sleepyLease struct {
	lease.Store

	of *sleepyLeases
}

func (s *sleepyLease) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	if s.of.asleep.Load() {
		return lease.Lease{}, errAsleep
	}
	return s.Store.Acquire(ctx, name, owner, ttl)
}

func (s *sleepyLease) Release(ctx context.Context, l lease.Lease) error {
	if s.of.asleep.Load() {
		return errAsleep
	}
	return s.Store.Release(ctx, l)
}

func TestLeasesThatCannotBeReached(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		sleepy := &sleepyLeases{Store: store}
		sleepy.asleep.Store(true)
		o := openOffice(t, sleepy, newClock(), realTime)
		stop := start(t, o.manager)
		pass(10 * time.Minute)
		assert.Equal(t, projection.Paused, o.manager.Status().State)
		require.ErrorIs(t, o.manager.Status().LastError, errAsleep)
		sleepy.asleep.Store(false)
		pass(30 * time.Second)
		assert.Equal(t, projection.Live, o.manager.Status().State)
		require.NoError(t, o.manager.Status().LastError)
		sleepy.asleep.Store(true)
		stop() // the lease expires by itself
	})
}

// faulty is a store that cannot do what a test says.
type faulty struct {
	projection.Store

	mu      sync.Mutex
	fails   map[string]error
	queries []eventstore.Query
	stream  uuid.UUID // that cannot be read
}

func (s *faulty) set(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.fails = make(map[string]error)
	}
	s.fails[what] = err
}

func (s *faulty) fault(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fails[what]
}

// firstQuery returns what was read first.
func (s *faulty) firstQuery() eventstore.Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[0]
}

func (s *faulty) Head(ctx context.Context) (uint64, error) {
	if err := s.fault("head"); err != nil {
		return 0, err
	}
	return s.Store.Head(ctx)
}

func (s *faulty) Wait(ctx context.Context, after uint64) (uint64, error) {
	if err := s.fault("wait"); err != nil {
		return 0, err
	}
	return s.Store.Wait(ctx, after)
}

func (s *faulty) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	s.mu.Lock()
	s.queries = append(s.queries, query)
	s.mu.Unlock()
	if err := s.fault("read"); err != nil {
		return func(yield func(event.Event, error) bool) { yield(event.Event{}, err) }
	}
	return s.Store.ReadAll(ctx, query)
}

func (s *faulty) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	if err := s.fault("stream"); err != nil && stream.AggregateID == s.stream {
		return func(yield func(event.Event, error) bool) { yield(event.Event{}, err) }
	}
	return s.Store.ReadStream(ctx, stream, query)
}

func (s *faulty) Checkpoints() checkpoint.Store { return &faultyMarks{s.Store.Checkpoints(), s} }

type faultyMarks struct {
	checkpoint.Store

	of *faulty
}

func (m *faultyMarks) Load(ctx context.Context, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	if err := m.of.fault("load"); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	return m.Store.Load(ctx, key)
}

func (m *faultyMarks) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	if err := m.of.fault("move"); err != nil {
		return err
	}
	return m.Store.Move(ctx, key, move)
}

func (m *faultyMarks) Reset(ctx context.Context, key checkpoint.Key) error {
	if err := m.of.fault("reset"); err != nil {
		return err
	}
	return m.Store.Reset(ctx, key)
}

// The store is down for ten minutes: what is due meanwhile comes when it is back.
func TestAnOutageOfTheStore(t *testing.T) {
	t.Parallel()
	errDown := errors.New("down")
	for _, what := range []string{"head", "wait", "read", "load", "move"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T, store projection.Store) {
				faulty := &faulty{Store: store}
				o, id := openOffice(t, store, newClock(), realTime), event.NewID()
				looking := openOffice(t, faulty, newClock(), realTime)
				o.place(t, id)
				o.react(t)
				pass(patience - 5*time.Minute)
				faulty.set(what, errDown)
				defer start(t, looking.manager)()
				pass(10 * time.Minute)
				if what != "wait" { // which comes after what is due
					assert.Equal(t, projection.Paused, looking.manager.Status().State)
					assert.Empty(t, elapsed(t, store))
				}
				require.ErrorIs(t, looking.manager.Status().LastError, errDown)
				faulty.set(what, nil)
				pass(31 * time.Second)
				assert.Equal(t, projection.Live, looking.manager.Status().State)
				assert.Len(t, elapsed(t, store), 1)
			})
		})
	}
}

// One instance cannot be loaded: the timeouts of the others come.
func TestATimeoutThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		errDown := errors.New("damaged")
		bad, good, later := event.NewID(), event.NewID(), event.NewID()
		faulty := &faulty{Store: store, stream: bad}
		o, looking := openOffice(t, store, newClock(), realTime), openOffice(t, faulty, newClock(), realTime)
		defer start(t, looking.manager)()
		for _, id := range []uuid.UUID{bad, good, later} {
			o.place(t, id)
			o.react(t)
			pass(10 * time.Second)
		}
		faulty.set("stream", errDown)
		pass(patience - 11*time.Second)
		require.Len(t, elapsed(t, store), 1)
		assert.Equal(t, good, elapsed(t, store)[0].AggregateID)
		assert.Equal(t, projection.Live, looking.manager.Status().State)
		require.ErrorIs(t, looking.manager.Status().LastError, errDown)
		require.ErrorContains(t, looking.manager.Status().LastError, bad.String())
		pass(24 * time.Hour)
		assert.Len(t, elapsed(t, store), 2)
		faulty.set("stream", nil)
		pass(30 * time.Second)
		assert.Len(t, elapsed(t, store), 3)
		require.NoError(t, looking.manager.Status().LastError)
	})
}

// Its next try was put off by a clock that has been put right since.
func TestAPostponedTimeoutDoesNotWaitForAWrongClock(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		var offset atomic.Int64
		offset.Store(int64(365 * 24 * time.Hour))
		now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		id := event.NewID()
		faulty := &faulty{Store: store, stream: id}
		o, looking := openOffice(t, store, newClock(), realTime), openOffice(t, faulty, newClock(), func(c *process.Config) { c.Now = now })
		o.place(t, id)
		o.react(t)
		faulty.set("stream", errors.New("down"))
		defer start(t, looking.manager)()
		pass(time.Minute)
		offset.Store(0)
		faulty.set("stream", nil)
		pass(patience)
		assert.Len(t, elapsed(t, store), 1)
	})
}

// A restart reads the log from the first timeout that is still waited for.
func TestTimeoutsAreReadFromTheLowWaterMark(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o, early, late := openOffice(t, store, newClock(), realTime), event.NewID(), event.NewID()
		stop := start(t, o.manager)
		mark := func() uint64 {
			c, err := store.Checkpoints().Load(t.Context(), marks)
			require.NoError(t, err)
			return c.Position
		}
		o.place(t, early)
		o.react(t)
		pass(time.Minute)
		o.place(t, late)
		o.react(t)
		pass(time.Minute)
		var positions []uint64
		for e, err := range store.ReadAll(t.Context(), eventstore.Query{Types: []string{"ProcessTimeoutSet"}}) {
			require.NoError(t, err)
			positions = append(positions, e.Position)
		}
		assert.Equal(t, positions[0]-1, mark(), "the first is waited for")
		pass(patience - 90*time.Second)
		assert.Equal(t, positions[1]-1, mark(), "now the second is the first")
		stop()

		faulty := &faulty{Store: store}
		stop = start(t, openOffice(t, faulty, newClock(), realTime).manager)
		synctest.Wait()
		first := faulty.firstQuery()
		assert.Equal(t, positions[1]-1, first.After)
		assert.Equal(t, []string{"Fulfilment"}, first.AggregateTypes)
		assert.True(t, slices.Contains(first.Types, "ProcessTimeoutSet"))
		pass(patience)
		head, err := store.Head(t.Context())
		require.NoError(t, err)
		stop()
		assert.Equal(t, head, mark(), "nothing is waited for")
		assert.Len(t, elapsed(t, store), 2)
	})
}

// A checkpoint that is not of this log says nothing.
func TestTimeoutsAfterARestoreOfTheStore(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]checkpoint.Move{
		"another store": {To: 3, StoreID: event.NewID()},
		"its beginning": {To: 0, StoreID: event.NewID()},
		"a later copy":  {To: 1_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTime(t, func(t *testing.T, store projection.Store) {
				o, id := openOffice(t, store, newClock(), realTime), event.NewID()
				o.place(t, id)
				o.react(t)
				m := move
				if m.StoreID == uuid.Nil {
					m.StoreID = store.ID()
				}
				require.NoError(t, store.Checkpoints().Move(t.Context(), marks, m))
				faulty := &faulty{Store: store}
				faulty.set("reset", errors.New("down"))
				defer start(t, openOffice(t, faulty, newClock(), realTime).manager)()
				pass(time.Minute)
				faulty.set("reset", nil)
				pass(patience)
				assert.Len(t, elapsed(t, store), 1)
			})
		})
	}
}

// A TimeoutSet that nobody can read is said to be one, and keeps nobody else.
func TestTimeoutThatCannotBeRead(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		e, err := event.New(t.Context(), process.TimeoutSet{Name: "payment"})
		require.NoError(t, err)
		e.Data = []byte("{")
		stream := eventstore.Stream{AggregateType: "Fulfilment", AggregateID: event.NewID()}
		_, err = store.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{e}})
		require.NoError(t, err)
		core, logs := observer.New(zap.ErrorLevel)
		o, id := openOffice(t, store, newClock(), realTime, func(c *process.Config) { c.Logger = zap.New(core) }), event.NewID()
		o.place(t, id)
		o.react(t)
		defer start(t, o.manager)()
		pass(patience)
		assert.Len(t, elapsed(t, store), 1)
		assert.Equal(t, 1, logs.FilterMessage("timeout cannot be read").Len())
		pass(time.Minute)
		mark, err := store.Checkpoints().Load(t.Context(), marks)
		require.NoError(t, err)
		assert.Zero(t, mark.Position, "an owner that can read it shall find it")
		require.ErrorContains(t, o.manager.Status().LastError, "timeout at position 1 cannot be read")
	})
}

func TestRunOnce(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o := openOffice(t, store, newClock(), realTime)
		stop := start(t, o.manager)
		synctest.Wait()
		require.ErrorIs(t, o.manager.Run(t.Context()), projection.ErrRunning)
		stop()
		defer start(t, o.manager)() // it can be run again
	})
}

func TestRunEndsWithItsStore(t *testing.T) {
	t.Parallel()
	inTime(t, func(t *testing.T, store projection.Store) {
		o := openOffice(t, store, newClock(), realTime)
		done := make(chan error, 1)
		go func() { done <- o.manager.Run(t.Context()) }()
		synctest.Wait()
		require.NoError(t, store.Close())
		require.ErrorIs(t, <-done, eventstore.ErrClosed)
		assert.Equal(t, projection.Failed, o.manager.Status().State)
	})
}
