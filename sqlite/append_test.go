package sqlite_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/sqlite"
)

// held is a clock that stops the writer in the middle of a flush.
type held struct {
	reached chan struct{}
	release chan struct{}
	letGo   func() // closes release; also when a test fails, so that its store can be closed
	on      atomic.Bool
}

func newHeld() *held {
	h := &held{reached: make(chan struct{}), release: make(chan struct{})}
	h.letGo = sync.OnceFunc(func() { close(h.release) })
	return h
}

func (h *held) Now() time.Time {
	if h.on.CompareAndSwap(true, false) {
		h.reached <- struct{}{}
		<-h.release
	}
	return time.Now()
}

// heldStore returns a store whose next flush is held.
func heldStore(t *testing.T) (*sqlite.Store, *held) {
	t.Helper()
	h := newHeld()
	config := newFile(t)
	config.Now = h.Now
	store := open(t, config)
	t.Cleanup(h.letGo) // before the store is closed
	h.on.Store(true)
	return store, h
}

// abandoned makes an append whose caller leaves while it is being written, and
// returns what the caller was told. The write goes on with h.letGo.
func abandoned(t *testing.T, store *sqlite.Store, h *held, a eventstore.Append) error {
	t.Helper()
	tx, err := store.Begin(t.Context()) // so that it is not written alone, by its caller
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := store.Append(ctx, a)
		failed <- err
	}()
	untilWaiting(store, 1)
	require.NoError(t, tx.Rollback(t.Context()))
	<-h.reached
	cancel()
	return <-failed
}

// untilWaiting returns when n appends wait to be written.
func untilWaiting(store *sqlite.Store, n int) {
	for store.Waiting() < n {
		runtime.Gosched()
	}
}

func TestAppendThatIsBeingWrittenWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	store, h := heldStore(t)
	a := eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream(), Events: newEvents(2)}
	err := abandoned(t, store, h, a)
	require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	assert.True(t, eventstore.IsRetryable(err))
	h.letGo()

	result, err := store.Append(t.Context(), a)
	require.NoError(t, err, "sending it again is safe")
	assert.Equal(t, []uint64{2}, result.Versions)
	assert.Equal(t, uint64(2), result.Position)
	assert.Len(t, readAll(t, store, eventstore.Query{}), 2)
}

func TestAppendThatWaitsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = store.Append(ctx, eventstore.Append{Stream: newStream(), Events: newEvents(1)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	require.NoError(t, tx.Rollback(t.Context()))
	assert.Equal(t, uint64(1), add(t, store, 1).Position)
}

// TestAppendsOfOneFlush makes appends gather behind one that is being written.
func TestAppendsOfOneFlush(t *testing.T) {
	t.Parallel()
	store, h := heldStore(t)
	var all sync.WaitGroup
	all.Go(func() { add(t, store, 1) })
	<-h.reached

	stream, twice := newStream(), newEvents(3)
	var won, lost, repeated atomic.Int64
	for range 8 {
		all.Go(func() {
			_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: newEvents(2)})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, eventstore.ErrConflict):
				lost.Add(1)
			}
		})
		all.Go(func() {
			result, err := store.Append(t.Context(), eventstore.Append{Stream: eventstore.Stream{AggregateType: "Twice", AggregateID: twice[0].ID}, Events: twice})
			if assert.NoError(t, err) && assert.Equal(t, []uint64{3}, result.Versions) {
				repeated.Add(1)
			}
		})
		all.Go(func() { add(t, store, 1) })
	}
	untilWaiting(store, 24)
	h.letGo()
	all.Wait()
	assert.Equal(t, int64(1), won.Load())
	assert.Equal(t, int64(7), lost.Load())
	assert.Equal(t, int64(8), repeated.Load())

	events := readAll(t, store, eventstore.Query{})
	require.Len(t, events, 1+2+3+8)
	for i, e := range events {
		assert.Equal(t, uint64(i+1), e.Position, "losers burn no positions")
	}
}

func TestDuplicateInTheMiddleOfAnAppend(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	known := newEvents(1)
	_, err := store.Append(t.Context(), eventstore.Append{Stream: newStream(), Events: known})
	require.NoError(t, err)

	events := append(newEvents(2), known[0])
	_, err = store.Append(t.Context(), eventstore.Append{Stream: newStream(), Expected: eventstore.NoStream(), Events: events})
	var duplicate *eventstore.DuplicateEventError
	require.ErrorAs(t, err, &duplicate)
	assert.Equal(t, known[0].ID, duplicate.EventID)
	assert.Equal(t, uint64(2), add(t, store, 1).Position)
}

func TestAppendsThatWaitWhenTheStoreIsClosed(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), newFile(t))
	require.NoError(t, err)
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	failed := make(chan error)
	go func() {
		_, err := store.Append(t.Context(), eventstore.Append{Stream: newStream(), Events: newEvents(1)})
		failed <- err
	}()
	untilWaiting(store, 1)
	require.NoError(t, store.Close())
	require.ErrorIs(t, <-failed, eventstore.ErrClosed)
	require.ErrorIs(t, tx.Commit(t.Context()), eventstore.ErrClosed)
	require.NoError(t, tx.Rollback(t.Context()))
	_, err = store.Begin(t.Context())
	require.ErrorIs(t, err, eventstore.ErrClosed)
	_, err = store.Checkpoints().List(t.Context(), "")
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

func TestAppendWaitsForOtherProcessesAndGivesUp(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.BusyTimeout = 20 * time.Millisecond
	store := open(t, config)
	other := raw(t, config.Path)
	other.SetMaxOpenConns(1)
	_, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	_, err = store.Append(t.Context(), eventstore.Append{Stream: newStream(), Events: newEvents(1)})
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	assert.True(t, eventstore.IsRetryable(err))
	_, err = store.Begin(t.Context())
	require.ErrorIs(t, err, eventstore.ErrUnavailable)

	_, err = other.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	add(t, store, 1)
}

func TestPatienceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	other := raw(t, config.Path)
	other.SetMaxOpenConns(1)
	store := open(t, config)
	_, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	_, err = store.Begin(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = other.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	add(t, store, 1)
}

func TestHistoryIsNotEdited(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	add(t, store, 2)
	before := readAll(t, store, eventstore.Query{})
	db := raw(t, config.Path)
	for _, statement := range []string{
		"UPDATE events SET actor_id = 'user:eve'",
		"UPDATE events SET position = 7 WHERE position = 2",
		"DELETE FROM events",
		"DELETE FROM events WHERE position = 2",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.ErrorContains(t, err, "events are never", statement)
	}

	// The store's own connection refuses it in this disguise, too.
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.(*sqlite.Tx).SQL().ExecContext(t.Context(), "INSERT OR REPLACE INTO events SELECT * FROM events")
	require.ErrorContains(t, err, "events are never deleted")
	require.NoError(t, tx.Rollback(t.Context()))
	assert.Equal(t, before, readAll(t, store, eventstore.Query{}))
}

func TestCallersMemoryIsNotUsedAfterAppend(t *testing.T) {
	t.Parallel()
	store, h := heldStore(t)
	events := newEvents(1)
	want := string(events[0].Data)
	require.ErrorIs(t, abandoned(t, store, h, eventstore.Append{Stream: newStream(), Events: events}), eventstore.ErrOutcomeUnknown)
	clear(events[0].Data)
	h.letGo()
	add(t, store, 1)
	assert.Equal(t, want, string(readAll(t, store, eventstore.Query{})[0].Data))
}

func TestResentAppendWithAGapIsNoRepetition(t *testing.T) {
	t.Parallel()
	store, stream, events := newStore(t), newStream(), newEvents(3)
	_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: events})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{events[0], events[2]}})
	var duplicate *eventstore.DuplicateEventError
	require.ErrorAs(t, err, &duplicate)
	assert.Equal(t, events[2].ID, duplicate.EventID)
}
