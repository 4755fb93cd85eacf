package projection_test

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

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
)

// passed is an event that no projection here asks for by its type.
type passed struct{}

func (passed) EventType() string { return "Passed" }

// spy is a store that remembers what was read.
type spy struct {
	projection.Store

	mu      sync.Mutex
	queries []eventstore.Query
}

func (s *spy) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, query)
	return s.Store.ReadAll(ctx, query)
}

// take returns the queries since it was last asked.
func (s *spy) take() []eventstore.Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.queries
	s.queries = nil
	return taken
}

// guaranteed is a ledger, and where its runner keeps its progress.
type guaranteed struct {
	projectiontest.Ledger

	progress projection.Progress
}

// ofEachGuarantee runs f with a ledger that is applied exactly once, and with
// one outside of the store's database.
func ofEachGuarantee(t *testing.T, hook projectiontest.Hook, f func(t *testing.T, store *memory.Store, l guaranteed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		table := newRows(store)
		f(t, store, guaranteed{Ledger: table.newLedger(t, "notes", hook), progress: table})
	})
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		f(t, store, guaranteed{Ledger: newOutsideLedger(hook), progress: store})
	})
}

// newOutsideLedger writes down what it applies where no transaction is.
func newOutsideLedger(hook projectiontest.Hook) projectiontest.Ledger {
	var mu sync.Mutex
	var lines []uint64
	return projectiontest.Ledger{
		Projection: projection.New("notes", 1, projection.OnEvery(func(ctx context.Context, e event.Event) error {
			if err := hook(ctx, e); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, e.Position)
			return nil
		})),
		Positions: func(context.Context) ([]uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(lines), nil
		},
	}
}

func (g guaranteed) requirePositions(t *testing.T, want ...uint64) {
	t.Helper()
	got, err := g.Positions(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got, g.Projection.Guarantee().String())
}

// reach waits until the projection "notes" has come to a position, and no
// longer than an hour of simulated time.
func reach(t *testing.T, r *projection.Runner, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	require.NoError(t, r.WaitFor(ctx, "notes", position))
}

func checkpointOf(t *testing.T, progress projection.Progress, name string) uint64 {
	t.Helper()
	c, err := progress.Checkpoints().Load(t.Context(), checkpoint.Key{Projection: name, Version: 1})
	require.NoError(t, err)
	return c.Position
}

// appendAll appends payloads to a stream of their own.
func appendAll(t *testing.T, store eventstore.Store, payloads ...event.Payload) uint64 {
	t.Helper()
	events := make([]event.Event, len(payloads))
	for i, p := range payloads {
		e, err := event.New(t.Context(), p)
		require.NoError(t, err)
		events[i] = e
	}
	result, err := store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: uuid.New()}, Events: events})
	require.NoError(t, err)
	return result.Position
}

func TestTrapAFilteredEventMovesTheCheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: openMemory(t)}
		var applied []uint64
		p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
			applied = append(applied, e.Position)
			return nil
		}))
		c := projection.Config{Projections: []projection.Projection{p}, BatchSize: 10}
		note(t, store, "wanted")
		appendAll(t, store, slices.Repeat([]event.Payload{passed{}}, 999)...)
		r := newRunner(t, store, c)
		stop := run(t, r)
		reach(t, r, 1000)
		appendAll(t, store, passed{})
		reach(t, r, 1001) // and when it is live
		stop()
		assert.Equal(t, uint64(1001), checkpointOf(t, store, "notes"))
		store.take()

		again := newRunner(t, store, c) // another process, after a restart
		stop = run(t, again)
		<-time.After(time.Minute)
		status, err := again.Status(t.Context())
		stop()
		require.NoError(t, err)
		assert.Zero(t, status[0].Lag())
		for _, q := range store.take() {
			assert.Equal(t, uint64(1001), q.After, "nothing is gone through again")
		}
		assert.Equal(t, []uint64{1}, applied)
	})
}

// unwoken is a store whose wake-ups have stopped to come, without an error.
type unwoken struct{ projection.Store }

func (unwoken) Wait(ctx context.Context, _ uint64) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestTrapAFeedThatEndedIsNotWaitedOnForEver(t *testing.T) {
	t.Parallel()
	ofEachGuarantee(t, noHook, func(t *testing.T, store *memory.Store, l guaranteed) {
		r := newRunner(t, unwoken{store}, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: l.progress})
		stop := run(t, r)
		<-time.After(time.Hour) // the feed has come to its end often
		for n := range uint64(3) {
			appended := time.Now()
			reach(t, r, note(t, store, "x"))
			assert.LessOrEqual(t, time.Since(appended), 6*time.Second, "event %d costs a round", n+1)
		}
		stop()
		l.requirePositions(t, 1, 2, 3)
	})
}

func noHook(context.Context, event.Event) error { return nil }

func TestTrapTwentyAppendsAtOnceAreDeliveredOnce(t *testing.T) {
	t.Parallel()
	const writers = 20
	begun, finish := make(chan struct{}), make(chan struct{})
	var inside, most atomic.Int64
	hook := func(_ context.Context, e event.Event) error {
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		if e.Position == 1 {
			begun <- struct{}{}
			<-finish
		}
		return nil
	}
	want := make([]uint64, 1+writers)
	for i := range want {
		want[i] = uint64(i + 1)
	}
	begin := func() { begun, finish = make(chan struct{}), make(chan struct{}) } // each in its own bubble
	ofEachGuarantee(t, hook, func(t *testing.T, store *memory.Store, l guaranteed) {
		begin()
		seen := &spy{Store: store}
		r := newRunner(t, seen, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: l.progress})
		stop := run(t, r)
		note(t, store, "first")
		<-begun
		var all sync.WaitGroup
		for range writers {
			all.Go(func() { note(t, store, "x") })
		}
		all.Wait()
		seen.take()
		close(finish)
		reach(t, r, 1+writers)
		synctest.Wait()
		assert.Len(t, seen.take(), 1, "twenty wake-ups cause one read")
		stop()
		l.requirePositions(t, want...)
	})
	assert.Equal(t, int64(1), most.Load(), "one event at a time")
}

// TestTrapClocksOrderNothing has events that claim any time at all: it is their
// positions that order them, and the store's clock that tells how late one is.
func TestTrapClocksOrderNothing(t *testing.T) {
	t.Parallel()
	ofEachGuarantee(t, noHook, func(t *testing.T, store *memory.Store, l guaranteed) {
		now := time.Now()
		const year = 365 * 24 * time.Hour
		claims := []time.Duration{year, 0, 0, 0, -year, year, -time.Hour}
		for _, claim := range claims {
			e, err := event.NewWith(t.Context(), nil, now.Add(claim), noted{})
			require.NoError(t, err)
			_, err = store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Note", AggregateID: uuid.New()}, Events: []event.Event{e}})
			require.NoError(t, err)
		}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: l.progress, BatchSize: 2})
		<-time.After(time.Minute)
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, time.Minute, status[0].Behind, "by the time at which it was stored")
		for range 3 {
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			l.requirePositions(t, 1, 2, 3, 4, 5, 6, 7)
		}
		status, err = r.Status(t.Context())
		require.NoError(t, err)
		assert.Zero(t, status[0].Behind)
	})
}

// slowCommits commits, where a checkpoint moves, when it is let and as it is told.
type slowCommits struct {
	projection.Progress

	asked  chan struct{}
	answer chan error
}

func (s *slowCommits) Begin(ctx context.Context) (projection.Tx, error) {
	tx, err := s.Progress.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &slowTx{Tx: tx, from: s}, nil
}

type slowTx struct {
	projection.Tx

	from  *slowCommits
	moves bool
}

func (t *slowTx) Unwrap() projection.Tx { return t.Tx }

func (t *slowTx) Checkpoints() checkpoint.Store { return slowCheckpoints{t.Tx.Checkpoints(), t} }

type slowCheckpoints struct {
	checkpoint.Store

	tx *slowTx
}

func (s slowCheckpoints) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	s.tx.moves = s.tx.moves || move.To > move.From
	return s.Store.Move(ctx, key, move)
}

func (t *slowTx) Commit(ctx context.Context) error {
	if !t.moves {
		return t.Tx.Commit(ctx)
	}
	t.from.asked <- struct{}{}
	if err := <-t.from.answer; err != nil {
		return errors.Join(err, t.Rollback(ctx))
	}
	return t.Tx.Commit(ctx)
}

// TestTrapACheckpointIsNotRecordedBeforeItsCommit looks while a commit is on its
// way, has it fail, and looks again.
func TestTrapACheckpointIsNotRecordedBeforeItsCommit(t *testing.T) {
	t.Parallel()
	ofEachGuarantee(t, noHook, func(t *testing.T, store *memory.Store, l guaranteed) {
		commits := &slowCommits{Progress: l.progress, asked: make(chan struct{}), answer: make(chan error)}
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: commits})
		stop := run(t, r)
		requireNothingDone := func() {
			t.Helper()
			assert.Zero(t, checkpointOf(t, store, "notes"))
			status, err := r.Status(t.Context())
			require.NoError(t, err)
			assert.Equal(t, uint64(1), status[0].Lag())
			assert.Zero(t, status[0].Applied)
			brief, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			require.ErrorIs(t, r.WaitFor(brief, "notes", 1), context.DeadlineExceeded)
		}
		const failures = 5
		for range failures {
			<-commits.asked
			requireNothingDone()
			if l.Projection.Guarantee() == projection.ExactlyOnce {
				l.requirePositions(t, []uint64(nil)...)
			}
			commits.answer <- projection.AsInfrastructure(errors.New("the database went away"))
			synctest.Wait()
			requireNothingDone()
		}
		<-commits.asked
		commits.answer <- nil
		reach(t, r, 1)
		stop()
		assert.Equal(t, uint64(1), checkpointOf(t, store, "notes"))
		if l.Projection.Guarantee() == projection.ExactlyOnce {
			l.requirePositions(t, 1)
		} else {
			l.requirePositions(t, slices.Repeat([]uint64{1}, failures+1)...)
		}
	})
}
