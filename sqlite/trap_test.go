package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/sqlite"
)

// trapConfig is a configuration that does not make a test wait.
func trapConfig(p projection.Projection) projection.Config {
	soon := projection.Retry{First: 1, Most: 1}
	return projection.Config{Projections: []projection.Projection{p}, Retry: soon, Pause: soon, Redrive: projection.Retry{MaxAttempts: 1}}
}

var errRefused = errors.New("refused")

func requireLines(t *testing.T, l projectiontest.Ledger, positions ...uint64) {
	t.Helper()
	lines, err := l.Positions(t.Context())
	require.NoError(t, err)
	require.Equal(t, positions, lines)
}

// TestTrapALeaderHoldsNoTransaction has a projection run whose owner keeps its
// lease for long. Meanwhile another process writes to the file without waiting
// for anybody, and the log is moved into the file, which whoever had a
// transaction open, if only to read, would not allow.
func TestTrapALeaderHoldsNoTransaction(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	l := newLedger(store, "ledger", func(context.Context, event.Event) error { return nil })
	c := trapConfig(l.Projection)
	c.LeaseTTL = 300 * time.Millisecond
	r, err := projection.NewRunner(store, c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	require.NoError(t, r.WaitFor(t.Context(), "ledger", add(t, store, 1).Position))

	other := raw(t, config.Path)
	_, err = other.ExecContext(t.Context(), "PRAGMA busy_timeout = 0")
	require.NoError(t, err)
	expires := func() (at int64) {
		require.NoError(t, store.DB().QueryRowContext(t.Context(), "SELECT expires_at FROM leases WHERE name = 'projection/ledger v1'").Scan(&at))
		return at
	}
	free := func() bool { // that a write of the owner's is just being made does not count
		_, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE; COMMIT")
		return err == nil
	}
	for range 5 {
		last := expires()
		require.Eventually(t, free, 10*time.Second, time.Millisecond)
		require.Eventually(t, func() bool { return expires() > last }, 10*time.Second, time.Millisecond, "the lease is renewed")
	}
	require.Eventually(t, func() bool {
		var busy, log, moved int
		err := other.QueryRowContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
		return err == nil && busy == 0
	}, 10*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

// TestTrapPositionsBeyond32Bits has a projection pass the limits of numbers that
// somebody might have kept a position in: its checkpoint, letters and status.
func TestTrapPositionsBeyond32Bits(t *testing.T) {
	t.Parallel()
	for _, last := range []uint64{1<<31 - 3, 1<<32 - 3, 1<<53 - 3, 1<<62 - 3} {
		t.Run(strconv.FormatUint(last, 10), func(t *testing.T) {
			t.Parallel()
			config := newFile(t)
			_, err := raw(t, config.Path).ExecContext(t.Context(), "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", int64(last))
			require.NoError(t, err)
			store := open(t, config)
			var sick atomic.Bool
			sick.Store(true)
			l := newLedger(store, "ledger", func(_ context.Context, e event.Event) error {
				if e.Position == last+4 && sick.Load() {
					return projection.AsPoison(errRefused)
				}
				return nil
			})
			for range 3 {
				add(t, store, 2)
			}
			// It is that far: what is below, a read would look through bit by bit.
			key := checkpoint.Key{Projection: "ledger", Version: 1}
			require.NoError(t, store.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: last, StoreID: store.ID()}))
			r, err := projection.NewRunner(store, trapConfig(l.Projection))
			require.NoError(t, err)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			requireLines(t, l, last+1, last+2, last+3, last+5, last+6)
			require.NoError(t, r.WaitFor(t.Context(), "ledger", last+6))
			status, err := r.Status(t.Context())
			require.NoError(t, err)
			assert.Equal(t, last+6, status[0].Position)
			assert.Zero(t, status[0].Lag())
			parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
			require.NoError(t, err)
			require.Len(t, parked, 1)
			assert.Equal(t, last+4, parked[0].First.Position)
			sick.Store(false)
			_, err = r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			add(t, store, 1)
			again, err := projection.NewRunner(open(t, config), trapConfig(l.Projection))
			require.NoError(t, err)
			require.NoError(t, again.RunUntilCaughtUp(t.Context()), "another process")
			requireLines(t, l, last+1, last+2, last+3, last+5, last+6, last+4, last+7)
		})
	}
}

// TestTrapAFailingHandlerLeavesNothingBehind has handlers fail after they have
// written something: when the event comes, and when it is tried again. What the
// others in the batch write stays.
func TestTrapAFailingHandlerLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(ctx context.Context, tx *sql.Tx) error{
		"an error of its own": func(context.Context, *sql.Tx) error { return projection.AsPoison(errRefused) },
		"an error of a statement": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO ledger (position) VALUES (NULL)")
			return err
		},
		"a panic": func(context.Context, *sql.Tx) error { panic("nil map") },
		"a savepoint that is left open": func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "SAVEPOINT own"); err != nil {
				return err
			}
			return projection.AsPoison(errRefused)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			const events, bad = 10, 5
			for range events {
				add(t, store, 1)
			}
			var healed atomic.Bool
			l := ledgerOf(store, "ledger", sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
				if err := writeLine(ctx, tx, "ledger", e); err != nil || e.Position != bad || healed.Load() {
					return err
				}
				return fail(ctx, tx)
			}))
			r, err := projection.NewRunner(store, trapConfig(l.Projection))
			require.NoError(t, err)
			require.NoError(t, r.RunUntilCaughtUp(t.Context()))
			requireLines(t, l, 1, 2, 3, 4, 6, 7, 8, 9, 10)
			done, err := r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			assert.Equal(t, projection.Redriven{Failed: 1}, done)
			requireLines(t, l, 1, 2, 3, 4, 6, 7, 8, 9, 10)
			healed.Store(true)
			_, err = r.Redrive(t.Context(), "ledger")
			require.NoError(t, err)
			requireLines(t, l, 1, 2, 3, 4, 6, 7, 8, 9, 10, 5)
		})
	}
}

// TestTrapGapsInPositions has positions that jump. Nobody waits for what is
// missing, and nobody counts.
func TestTrapGapsInPositions(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store, other := open(t, config), raw(t, config.Path)
	l := newLedger(store, "ledger", func(context.Context, event.Event) error { return nil })
	c := trapConfig(l.Projection)
	c.BatchSize = 3
	r, err := projection.NewRunner(store, c)
	require.NoError(t, err)
	var want []uint64
	for _, jump := range []int{10, 50, 1, 32, 100_000} {
		want = append(want, add(t, store, 1).Position, add(t, store, 1).Position)
		_, err := other.ExecContext(t.Context(), "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'", jump)
		require.NoError(t, err)
	}
	require.NoError(t, r.RunUntilCaughtUp(t.Context()))
	requireLines(t, l, want...)
}
