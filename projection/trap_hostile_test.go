package projection_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// refusing is rows whose commit fails as long as an event that is bad is among
// what the transaction wrote: a deferred constraint.
type refusing struct {
	*rows

	bad map[uint64]error
}

func (r *refusing) Begin(ctx context.Context) (projection.Tx, error) {
	tx, err := r.rows.Begin(ctx)
	if err != nil {
		return nil, err
	}
	own := tx.(*rowsTx)
	return &refusingTx{rowsTx: own, from: r, before: len(own.pending["notes"])}, nil
}

type refusingTx struct {
	*rowsTx

	from   *refusing
	before int
}

func (t *refusingTx) Unwrap() projection.Tx { return t.rowsTx }

func (t *refusingTx) Commit(ctx context.Context) error {
	for _, p := range t.pending["notes"] {
		if err := t.from.bad[p]; err != nil {
			return errors.Join(err, t.Rollback(ctx))
		}
	}
	return t.rowsTx.Commit(ctx)
}

// An event that is refused only by the COMMIT stops the whole projection
// (class poison) or pauses it for ever (unclassified); it is never found.
func TestTrapPoisonAtTheCommitIsFoundAndParked(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{"poison": projection.AsPoison(errBad), "unclassified": errBad} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := openMemory(t)
				table := &refusing{rows: newRows(store), bad: map[uint64]error{5: refusal}}
				l := table.newLedger(t, "notes", noHook)
				for range 10 {
					note(t, store, "x")
				}
				r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: table, Redrive: projection.Retry{MaxAttempts: 1}})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- r.Run(ctx) }()
				<-time.After(time.Hour)
				status, err := r.Status(t.Context())
				require.NoError(t, err)
				assert.Equal(t, projection.Live.String(), status[0].State.String())
				got, err := l.Positions(t.Context())
				require.NoError(t, err)
				assert.Equal(t, []uint64{1, 2, 3, 4, 6, 7, 8, 9, 10}, got)
				assert.Equal(t, []uint64{5}, letterPositions(t, store, "notes"))
				cancel()
				assert.NoError(t, <-done)
			})
		})
	}
}

// The same for a letter: one that fails only at the COMMIT of its redrive
// stops the projection for good, though its sequence is parked already.
func TestTrapALetterThatFailsAtTheCommitStopsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		table := &refusing{rows: newRows(store), bad: map[uint64]error{1: projection.AsPoison(errBad)}}
		var first atomic.Bool
		l := table.newLedger(t, "notes", func(_ context.Context, e event.Event) error {
			if e.Position == 1 && first.CompareAndSwap(false, true) {
				return projection.AsPoison(errBad)
			}
			return nil
		})
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: table})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		<-time.After(time.Minute) // the letter was tried again
		note(t, store, "x")
		<-time.After(time.Minute)
		got, err := l.Positions(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []uint64{2}, got, "others go on")
		cancel()
		assert.NoError(t, <-done)
	})
}

// typedNilError is an error as careless code returns it.
type typedNilError struct{ text string }

func (e *typedNilError) Error() string { return e.text }

// A handler that returns a typed nil ends the whole process: causeOf calls
// Error outside of Recovered. (Run it alone: it panics.)
func TestTrapATypedNilErrorIsABugOfTheHandler(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error {
		var err *typedNilError
		return err
	}))
	note(t, store, "x")
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Retry: projection.Retry{MaxAttempts: 1}})
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, []uint64{1}, letterPositions(t, store, "notes"))
}

// A letter whose handler meets an outage (a deadline, an index that is gone)
// keeps the projection from all live events, for as long as the outage lasts,
// though its own sequence is parked and no other needs what is down.
func TestTrapALetterInAnOutageDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var parked atomic.Bool
		var applied []uint64
		p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
			switch {
			case e.Position != 1:
				applied = append(applied, e.Position)
				return nil
			case parked.CompareAndSwap(false, true):
				return projection.AsPoison(errBad)
			default:
				return context.DeadlineExceeded // what it asks for takes too long, now
			}
		}))
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		<-time.After(10 * time.Second)
		note(t, store, "x")
		<-time.After(time.Hour)
		assert.Equal(t, []uint64{2}, applied)
		stop()
	})
}

// A letter whose event is not in the store stops everything: each round of
// the loop begins with it.
func TestTrapALetterWithoutAnEventStopsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var applied []uint64
		p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error { applied = append(applied, e.Position); return nil }))
		s := dlq.Sequence{Projection: "notes", Version: 1, Key: "Note/gone"}
		require.NoError(t, store.DeadLetters().Park(t.Context(), dlq.Letter{Sequence: s, Position: 77, EventID: uuid.New(), EventType: "Noted", Cause: "bad", ParkedAt: time.Now()}))
		require.NoError(t, store.DeadLetters().Schedule(t.Context(), s, time.Now()))
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
		stop := run(t, r)
		<-time.After(time.Hour)
		assert.Equal(t, []uint64{1}, applied)
		stop()
	})
}

// The event that a letter stands for is found by position alone. In a store
// that was restored, another event stands there: it is applied, out of turn.
func TestTrapALetterOfAnotherEventIsNotApplied(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	var applied []uint64
	p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error { applied = append(applied, e.Position); return nil }))
	note(t, store, "x")
	r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	s := dlq.Sequence{Projection: "notes", Version: 1, Key: "Note/other"}
	require.NoError(t, store.DeadLetters().Park(t.Context(), dlq.Letter{Sequence: s, Position: 1, EventID: uuid.New(), EventType: "Noted", Cause: "bad", ParkedAt: time.Now()}))
	_, _ = r.Redrive(t.Context(), "notes")
	assert.Equal(t, []uint64{1}, applied, "once")
}

// Commands wait for the batch in hand without heeding their own context. A
// handler that hangs takes every command for its projection with it.
func TestTrapACommandEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(ctx context.Context, r *projection.Runner) error{
		"discard": func(ctx context.Context, r *projection.Runner) error { return r.Discard(ctx, "notes", "Note/x", "why") },
		"redrive": func(ctx context.Context, r *projection.Runner) error { _, err := r.Redrive(ctx, "notes"); return err },
	} {
		t.Run(name, func(t *testing.T) { // in real time: who waits for a lock is not idle
			t.Parallel()
			store := openMemory(t)
			begun, hang := make(chan struct{}), make(chan struct{})
			p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error { close(begun); <-hang; return nil }))
			s := dlq.Sequence{Projection: "notes", Version: 1, Key: "Note/x"}
			require.NoError(t, store.DeadLetters().Park(t.Context(), dlq.Letter{Sequence: s, Position: 77, EventID: uuid.New(), EventType: "Noted", Cause: "bad", ParkedAt: time.Now()}))
			note(t, store, "x")
			r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}})
			stop := run(t, r)
			<-begun
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- command(ctx, r) }()
			select {
			case err := <-done:
				require.Error(t, err)
			case <-time.After(2 * time.Second):
				assert.Fail(t, "a command goes on although its context has ended")
			}
			close(hang)
			stop()
		})
	}
}

// longest is progress that measures how long transactions are open.
type longest struct {
	projection.Progress

	mu   sync.Mutex
	most time.Duration
}

func (l *longest) Begin(ctx context.Context) (projection.Tx, error) {
	tx, err := l.Progress.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &longestTx{Tx: tx, from: l, begun: time.Now()}, nil
}

type longestTx struct {
	projection.Tx

	from  *longest
	begun time.Time
}

func (t *longestTx) Unwrap() projection.Tx { return t.Tx }

func (t *longestTx) Commit(ctx context.Context) error {
	t.from.mu.Lock()
	t.from.most = max(t.from.most, time.Since(t.begun))
	t.from.mu.Unlock()
	return t.Tx.Commit(ctx)
}

// A redrive with exactly once keeps one transaction open for 100 letters,
// however long they take: on SQLite nobody else writes meanwhile.
func TestTrapARedriveDoesNotKeepATransactionOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		table := newRows(store)
		measured := &longest{Progress: table}
		var healed atomic.Bool
		l := table.newLedger(t, "notes", func(context.Context, event.Event) error {
			if !healed.Load() {
				return projection.AsPoison(errBad)
			}
			<-time.After(50 * time.Millisecond)
			return nil
		})
		noteOn(t, store, uuid.New(), 99) // not 100: see D19
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: measured, Redrive: projection.Retry{MaxAttempts: 1}})
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		healed.Store(true)
		_, err := r.Redrive(t.Context(), "notes")
		require.NoError(t, err)
		assert.LessOrEqual(t, measured.most, 500*time.Millisecond, "BatchTime is 250 ms")
	})
}

// shortlived is a store that is cut off whenever one read has gone through so
// many positions.
type shortlived struct {
	projection.Store

	most uint64
}

func (s *shortlived) ReadAll(ctx context.Context, q eventstore.Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		until := q.Until
		if until > q.After+s.most {
			q.Until = q.After + s.most
		}
		for e, err := range s.Store.ReadAll(ctx, q) {
			if !yield(e, err) || err != nil {
				return
			}
		}
		if until != q.Until {
			yield(event.Event{}, eventstore.ErrUnavailable)
		}
	}
}

// While a narrow projection goes through events that it does not want, its
// checkpoint does not move until the head is reached. What interrupts it (a
// deploy, an outage) has it begin anew: if that comes more often than a scan
// takes, it never gets there. Nor does its progress bar move.
func TestTrapALongScanOfNothingIsSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		for range 300 {
			appendAll(t, store, slices.Repeat([]event.Payload{passed{}}, 1000)...)
		}
		r := newRunner(t, &shortlived{Store: store, most: 100_000}, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		stop := run(t, r)
		<-time.After(time.Hour)
		assert.Equal(t, uint64(300_000), checkpointOf(t, store, "notes"))
		stop()
	})
}

// An event whose handler fails because the time of grace is over is skipped
// for good, with OnPoison Skip and a target outside: after the end of the
// context no event is at fault.
func TestTrapTheEndOfGraceSkipsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		p := projection.New("notes", 1, projection.On(func(ctx context.Context, _ event.Of[noted]) error {
			<-ctx.Done()
			return projection.AsPoison(errors.New("what a client makes of it")) // or a panic, with what it got instead of an answer
		}))
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, OnPoison: projection.Skip})
		stop := run(t, r)
		synctest.Wait()
		stop()
		discarded, err := store.DeadLetters().Discarded(t.Context(), "notes", 1)
		require.NoError(t, err)
		assert.Empty(t, discarded)
		assert.Zero(t, checkpointOf(t, store, "notes"))
	})
}

// A clock that is put back by an hour keeps letters from being tried for an
// hour, also those that a command has scheduled: "due" is never capped again.
func TestTrapAClockThatIsPutBackDelaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Int64
		now := func() time.Time { return time.Now().Round(0).Add(-time.Duration(back.Load())) } // a wall clock
		store, err := memory.Open(t.Context(), memory.Config{Now: now})
		require.NoError(t, err)
		defer func() { require.NoError(t, store.Close()) }()
		var sick atomic.Bool
		sick.Store(true)
		var applied atomic.Int64
		p := projection.New("notes", 1, projection.On(func(context.Context, event.Of[noted]) error {
			if sick.Load() {
				return projection.AsPoison(errBad)
			}
			applied.Add(1)
			return nil
		}))
		note(t, store, "x")
		config := projection.Config{Projections: []projection.Projection{p}, Now: now, Redrive: projection.Retry{MaxAttempts: 1}}
		owner, other := newRunner(t, store, config), newRunner(t, store, config)
		stop := run(t, owner)
		require.NoError(t, owner.WaitFor(t.Context(), "notes", 1))
		<-time.After(7 * time.Second)
		back.Store(int64(time.Hour))
		sick.Store(false)
		_, err = other.Redrive(t.Context(), "notes") // is left to the owner
		require.ErrorIs(t, err, lease.ErrHeld)
		<-time.After(time.Minute)
		assert.Equal(t, int64(1), applied.Load())
		stop()
	})
}

// stalled is progress whose leases stop to answer, without an error.
type stalled struct {
	projection.Progress

	stalls atomic.Bool
}

func (s *stalled) Leases() lease.Store { return stalledLeases{s.Progress.Leases(), s} }

type stalledLeases struct {
	lease.Store

	from *stalled
}

func (s stalledLeases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	if s.from.stalls.Load() {
		<-ctx.Done()
		return lease.Lease{}, ctx.Err()
	}
	return s.Store.Acquire(ctx, name, owner, ttl)
}

// Renew implements [lease.Store].
func (s stalledLeases) Renew(ctx context.Context, held []lease.Lease, ttl time.Duration) ([]lease.Lease, error) {
	if s.from.stalls.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.Renew(ctx, held, ttl)
}

// A renewal that hangs has no deadline. The lease runs out, somebody else
// takes it, and the handler in hand, whose target is outside, is never told.
func TestTrapARenewalThatHangsEndsTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		progress := &stalled{Progress: store}
		var told atomic.Int64
		begun := time.Now()
		p := projection.New("notes", 1, projection.On(func(ctx context.Context, _ event.Of[noted]) error {
			<-ctx.Done()
			told.CompareAndSwap(0, int64(time.Since(begun)))
			return ctx.Err()
		}))
		note(t, store, "x")
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Progress: progress})
		stop := run(t, r)
		synctest.Wait()
		progress.stalls.Store(true)
		<-time.After(time.Minute)
		assert.NotZero(t, told.Load(), "after a minute the handler still believes that it owns the projection")
		assert.LessOrEqual(t, time.Duration(told.Load()), 11*time.Second, "the lease is of ten seconds")
		stop()
	})
}

// eager is a store whose Wait comes back at once, without anything new.
type eager struct {
	projection.Store

	asked atomic.Int64
}

func (e *eager) Wait(ctx context.Context, after uint64) (uint64, error) {
	if e.asked.Add(1) > 10_000 {
		<-ctx.Done() // so that the test ends
		return 0, ctx.Err()
	}
	return after, nil
}

// A wake-up without anything new costs no pause: the loop spins, and with
// it the database (Axon #4882, found there after #4785 was mended).
func TestTrapAWakeUpForNothingDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &eager{Store: openMemory(t)}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		stop := run(t, r)
		<-time.After(time.Second)
		assert.Less(t, store.asked.Load(), int64(1000), "in a second")
		stop()
	})
}

// With a target outside, a letter that somebody discards while it is being
// tried makes the runner pause with "no such letter".
func TestTrapADiscardDuringARedriveIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openMemory(t)
		var other *projection.Runner
		var sick atomic.Bool
		sick.Store(true)
		id := uuid.New()
		key := eventstore.Stream{AggregateType: "Note", AggregateID: id}.String()
		p := projection.New("notes", 1, projection.On(func(ctx context.Context, e event.Of[noted]) error {
			if sick.Load() {
				return projection.AsPoison(errBad)
			}
			if e.Position == 1 {
				require.NoError(t, other.Discard(ctx, "notes", key, "no use"))
			}
			return nil
		}))
		c := projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{MaxAttempts: 1}}
		noteOn(t, store, id, 3)
		r := newRunner(t, store, c)
		other = newRunner(t, store, c)
		require.NoError(t, r.RunUntilCaughtUp(t.Context()))
		sick.Store(false)
		_, err := r.Redrive(t.Context(), "notes")
		require.NoError(t, err)
		assert.Empty(t, letterPositions(t, store, "notes"))
	})
}

// An error of a handler that wraps one of the library's own is taken for
// the runner's: a handler that uses a checkpoint, or another store, of its own.
func TestTrapErrorsOfHandlersAreNotTheRunnersOwn(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{
		"moved":       &checkpoint.MovedError{},
		"other store": &checkpoint.OtherStoreError{},
		"closed":      eventstore.ErrClosed,
		"stopped":     projection.ErrStopped,
		"definition":  &event.DefinitionError{Subject: "some other", Reason: "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := openMemory(t)
				var applied []uint64
				p := projection.New("notes", 1, projection.On(func(_ context.Context, e event.Of[noted]) error {
					if e.Position == 1 {
						return fmt.Errorf("remember: %w", cause)
					}
					applied = append(applied, e.Position)
					return nil
				}))
				note(t, store, "x")
				note(t, store, "x")
				r := newRunner(t, store, projection.Config{Projections: []projection.Projection{p}, Redrive: projection.Retry{MaxAttempts: 1}})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- r.Run(ctx) }()
				<-time.After(time.Hour)
				assert.Equal(t, []uint64{2}, applied)
				assert.Equal(t, []uint64{1}, letterPositions(t, store, "notes"))
				cancel()
				assert.NoError(t, <-done)
			})
		})
	}
}

// down is a store that cannot be asked for its head.
type down struct {
	projection.Store

	is atomic.Bool
}

func (d *down) Head(ctx context.Context) (uint64, error) {
	if d.is.Load() {
		return 0, eventstore.ErrUnavailable
	}
	return d.Store.Head(ctx)
}

func (d *down) Wait(ctx context.Context, after uint64) (uint64, error) {
	if d.is.Load() {
		return 0, eventstore.ErrUnavailable
	}
	for {
		brief, cancel := context.WithTimeout(ctx, time.Second)
		head, err := d.Store.Wait(brief, after)
		cancel()
		switch {
		case d.is.Load():
			return 0, eventstore.ErrUnavailable
		case err == nil, ctx.Err() != nil:
			return head, err
		}
	}
}

// When the store is down, Status says nothing of any projection: not that
// they are paused, nor why, nor since when, which is what it is looked at for.
func TestTrapStatusOfAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &down{Store: openMemory(t)}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		stop := run(t, r)
		<-time.After(time.Minute)
		store.is.Store(true)
		<-time.After(time.Minute)
		status, _ := r.Status(t.Context())
		if assert.Len(t, status, 1, "with the error") {
			assert.Equal(t, projection.Paused, status[0].State)
		}
		store.is.Store(false)
		stop()
	})
}

// An outage that is over stays the LastError of a projection that is live,
// until its next event.
func TestTrapLastErrorEndsWithTheOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &down{Store: openMemory(t)}
		r := newRunner(t, store, projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}})
		stop := run(t, r)
		note(t, store, "x")
		<-time.After(time.Minute)
		store.is.Store(true)
		<-time.After(time.Minute)
		store.is.Store(false)
		<-time.After(time.Hour)
		status, err := r.Status(t.Context())
		require.NoError(t, err)
		assert.Equal(t, projection.Live, status[0].State)
		require.NoError(t, status[0].LastError)
		stop()
	})
}

// A sequence that has exactly 100 letters, or 200, or 300, can never be
// redriven where effects are exactly once: when the last of 100 is out, the
// sequence is gone, and to schedule it is "no such letter", which undoes all.
// The runner begins each round with it, so no live event is applied again.
func TestTrapAHundredLettersAreRedriven(t *testing.T) {
	t.Parallel()
	for _, letters := range []int{99, 100, 101, 200} {
		t.Run(strconv.Itoa(letters), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := openMemory(t)
				table := newRows(store)
				var healed atomic.Bool
				l := table.newLedger(t, "notes", func(context.Context, event.Event) error {
					if !healed.Load() {
						return projection.AsPoison(errBad)
					}
					return nil
				})
				noteOn(t, store, uuid.New(), letters)
				r := newRunner(t, store, projection.Config{Projections: []projection.Projection{l.Projection}, Progress: table})
				require.NoError(t, r.RunUntilCaughtUp(t.Context()))
				healed.Store(true)
				stop := run(t, r)
				<-time.After(time.Minute)
				note(t, store, "x")
				<-time.After(time.Hour)
				stop()
				got, err := l.Positions(t.Context())
				require.NoError(t, err)
				assert.Len(t, got, letters+1)
				assert.Empty(t, letterPositions(t, store, "notes"))
			})
		})
	}
}
