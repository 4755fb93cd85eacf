package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/aggregate/snapshottest"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/checkpoint/checkpointtest"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/dlq/dlqtest"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/lease/leasetest"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/registry/registrytest"
)

var _ projection.Store = (*memory.Store)(nil)

var titles = checkpoint.Key{Projection: "titles", Version: 1}

func TestConformanceCheckpoints(t *testing.T) {
	t.Parallel()
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		store := openPorts(t, memory.Config{})
		return checkpointtest.Harness{Store: store.Checkpoints(), InTx: projectiontest.InTx(store, projection.Tx.Checkpoints)}
	})
}

func TestConformanceDeadLetters(t *testing.T) {
	t.Parallel()
	dlqtest.Run(t, func(t *testing.T) dlqtest.Harness {
		t.Helper()
		store := openPorts(t, memory.Config{})
		return dlqtest.Harness{Store: store.DeadLetters(), InTx: projectiontest.InTx(store, projection.Tx.DeadLetters)}
	})
}

func TestConformanceLeases(t *testing.T) {
	t.Parallel()
	leasetest.Run(t, func(t *testing.T, now func() time.Time) lease.Store {
		t.Helper()
		return openPorts(t, memory.Config{Now: now}).Leases()
	})
}

func TestConformanceRegistry(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, func(t *testing.T) registrytest.Harness {
		t.Helper()
		store := openPorts(t, memory.Config{})
		return registrytest.Harness{Store: store.Registry(), InTx: projectiontest.InTx(store, records(t))}
	})
}

// records returns what finds the records of a transaction.
func records(t *testing.T) func(tx projection.Tx) registry.Store {
	t.Helper()
	return func(tx projection.Tx) registry.Store {
		bound, ok := tx.(interface{ Registry() registry.Store })
		assert.True(t, ok)
		return bound.Registry()
	}
}

func TestConformanceSnapshots(t *testing.T) {
	t.Parallel()
	snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore {
		t.Helper()
		return openPorts(t, memory.Config{}).Snapshots()
	})
}

func TestSavepointUndoesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	store, failed := openPorts(t, memory.Config{}), errors.New("failed")
	require.NoError(t, store.DeadLetters().Park(t.Context(), parkedLetter(1), parkedLetter(2)))
	require.NoError(t, inTx(t.Context(), store, func(tx projection.Tx) error {
		advance(t, tx, 1)
		require.ErrorIs(t, tx.Savepoint(t.Context(), func(ctx context.Context) error {
			advance(t, tx, 2)
			require.NoError(t, tx.DeadLetters().Remove(ctx, parkedLetter(1)))
			require.NoError(t, tx.DeadLetters().Park(ctx, parkedLetter(3)))
			require.NoError(t, tx.Checkpoints().Move(ctx, checkpoint.Key{Projection: "counts", Version: 1}, checkpoint.Move{To: 9}))
			return failed
		}), failed)
		assert.Equal(t, uint64(1), standsAt(t, tx.Checkpoints()))
		assert.Equal(t, []uint64{1, 2}, waiting(t, tx.DeadLetters()))
		require.NoError(t, tx.Savepoint(t.Context(), func(ctx context.Context) error {
			return tx.DeadLetters().Park(ctx, parkedLetter(4))
		}))
		advance(t, tx, 3)
		return nil
	}))
	assert.Equal(t, uint64(3), standsAt(t, store.Checkpoints()))
	assert.Equal(t, []uint64{1, 2, 4}, waiting(t, store.DeadLetters()))
	list, err := store.Checkpoints().List(t.Context(), "")
	require.NoError(t, err)
	assert.Len(t, list, 1)
}

func TestSavepointsNest(t *testing.T) {
	t.Parallel()
	store, failed := openPorts(t, memory.Config{}), errors.New("failed")
	step := func(tx projection.Tx, to uint64, inner func() error) error {
		return tx.Savepoint(t.Context(), func(context.Context) error {
			advance(t, tx, to)
			return inner()
		})
	}
	none := func() error { return nil }
	require.NoError(t, inTx(t.Context(), store, func(tx projection.Tx) error {
		require.NoError(t, step(tx, 1, func() error {
			require.NoError(t, step(tx, 2, none))
			require.ErrorIs(t, step(tx, 3, func() error { return failed }), failed)
			assert.Equal(t, uint64(2), standsAt(t, tx.Checkpoints()), "the inner one alone")
			return nil
		}))
		require.ErrorIs(t, step(tx, 4, func() error {
			require.NoError(t, step(tx, 5, none))
			return failed
		}), failed)
		assert.Equal(t, uint64(2), standsAt(t, tx.Checkpoints()), "the outer one with the inner one")
		return nil
	}))
	assert.Equal(t, uint64(2), standsAt(t, store.Checkpoints()))
}

func TestSavepointUndoesWhatPanicked(t *testing.T) {
	t.Parallel()
	store := openPorts(t, memory.Config{})
	require.NoError(t, inTx(t.Context(), store, func(tx projection.Tx) error {
		require.PanicsWithValue(t, "handler", func() {
			_ = tx.Savepoint(t.Context(), func(context.Context) error {
				advance(t, tx, 1)
				panic("handler")
			})
		})
		assert.Zero(t, standsAt(t, tx.Checkpoints()))
		return nil
	}))
}

func TestTransactionsFollowEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openPorts(t, memory.Config{})
		first, err := store.Begin(t.Context())
		require.NoError(t, err)
		advance(t, first, 1)
		moved := make(chan error)
		go func() {
			moved <- inTx(t.Context(), store, func(tx projection.Tx) error {
				return tx.Checkpoints().Move(t.Context(), titles, checkpoint.Move{From: 0, To: 7})
			})
		}()
		synctest.Wait() // the second transaction waits, but a reader does not
		assert.Zero(t, standsAt(t, store.Checkpoints()))
		require.NoError(t, first.Commit(t.Context()))
		require.ErrorIs(t, <-moved, checkpoint.ErrMoved)
		assert.Equal(t, uint64(1), standsAt(t, store.Checkpoints()))
	})
}

func TestWaitingForATransactionEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openPorts(t, memory.Config{})
		first, err := store.Begin(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = store.Begin(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = store.Begin(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, store.Checkpoints().Move(ctx, titles, checkpoint.Move{To: 1}), context.DeadlineExceeded)
		require.NoError(t, first.Rollback(t.Context()))
		require.NoError(t, store.Checkpoints().Move(t.Context(), titles, checkpoint.Move{To: 1}))
	})
}

func TestCancelledTransactionKeepsNothingAndHoldsNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(tx projection.Tx, ctx context.Context) error{
		"rollback": func(tx projection.Tx, ctx context.Context) error { return tx.Rollback(ctx) },
		"commit": func(tx projection.Tx, ctx context.Context) error {
			if err := tx.Commit(ctx); !errors.Is(err, context.Canceled) {
				return errors.New("committed")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openPorts(t, memory.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := store.Begin(ctx)
			require.NoError(t, err)
			advance(t, tx, 1)
			cancel()
			require.ErrorIs(t, tx.Checkpoints().Reset(ctx, titles), context.Canceled)
			require.ErrorIs(t, tx.Savepoint(ctx, func(context.Context) error { return nil }), context.Canceled)
			require.NoError(t, end(tx, ctx))
			require.NoError(t, inTx(t.Context(), store, func(tx projection.Tx) error {
				advance(t, tx, 2)
				return nil
			}))
			assert.Equal(t, uint64(2), standsAt(t, store.Checkpoints()))
		})
	}
}

func TestBeginRefusesAContextThatHasEnded(t *testing.T) {
	t.Parallel()
	store := openPorts(t, memory.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 32 { // nobody else holds the place: it is not left to chance
		_, err := store.Begin(ctx)
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestEndedTransactionRefusesEverythingButRollback(t *testing.T) {
	t.Parallel()
	store := openPorts(t, memory.Config{})
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	advance(t, tx, 1)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, tx.Rollback(t.Context()))
	require.ErrorIs(t, tx.Commit(t.Context()), memory.ErrTxEnded)
	require.ErrorIs(t, tx.Savepoint(t.Context(), func(context.Context) error { return nil }), memory.ErrTxEnded)
	require.ErrorIs(t, tx.Checkpoints().Reset(t.Context(), titles), memory.ErrTxEnded)
	require.ErrorIs(t, tx.DeadLetters().Park(t.Context(), parkedLetter(1)), memory.ErrTxEnded)
	assert.Equal(t, uint64(1), standsAt(t, store.Checkpoints()))
}

func TestPortsAfterClose(t *testing.T) {
	t.Parallel()
	store := openPorts(t, memory.Config{})
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, store.Close())
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"begin":           func() error { _, err := store.Begin(ctx); return err },
		"load":            func() error { _, err := store.Checkpoints().Load(ctx, titles); return err },
		"move":            func() error { return store.Checkpoints().Move(ctx, titles, checkpoint.Move{To: 1}) },
		"reset":           func() error { return store.Checkpoints().Reset(ctx, titles) },
		"list":            func() error { _, err := store.Checkpoints().List(ctx, ""); return err },
		"parked":          func() error { _, err := store.DeadLetters().Parked(ctx, "titles", 1, []string{"a"}); return err },
		"park":            func() error { return store.DeadLetters().Park(ctx, parkedLetter(1)) },
		"sequences":       func() error { _, err := store.DeadLetters().Sequences(ctx, dlq.Filter{Limit: 3}); return err },
		"discarded":       func() error { _, err := store.DeadLetters().Discarded(ctx, "titles", 1); return err },
		"acquire":         func() error { _, err := store.Leases().Acquire(ctx, "a", "b", time.Second); return err },
		"release":         func() error { return store.Leases().Release(ctx, lease.Lease{}) },
		"load snapshot":   func() error { _, _, err := store.Snapshots().Load(ctx, eventstore.Stream{}); return err },
		"save snapshot":   func() error { return store.Snapshots().Save(ctx, someSnapshot()) },
		"delete snapshot": func() error { return store.Snapshots().Delete(ctx, eventstore.Stream{}) },
		"in transaction":  func() error { return tx.Checkpoints().Reset(ctx, titles) },
	} {
		require.ErrorIs(t, call(), eventstore.ErrClosed, name)
	}
	require.ErrorIs(t, tx.Commit(ctx), eventstore.ErrClosed)
	require.NoError(t, tx.Rollback(ctx))
}

func TestCloseWakesWhoWaitsForATransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openPorts(t, memory.Config{})
		first, err := store.Begin(t.Context())
		require.NoError(t, err)
		waited := make(chan error)
		go func() {
			_, err := store.Begin(t.Context())
			waited <- err
		}()
		synctest.Wait()
		require.NoError(t, store.Close())
		require.ErrorIs(t, <-waited, eventstore.ErrClosed)
		require.NoError(t, first.Rollback(t.Context()))
	})
}

// Readers, autonomous writers and transactions that commit, roll back and go
// through savepoints, all at once: what readers see is always one commit.
func TestReadersSeeWholeTransactions(t *testing.T) {
	t.Parallel()
	store := openPorts(t, memory.Config{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range uint64(300) {
			err := inTx(t.Context(), store, func(tx projection.Tx) error {
				if err := tx.DeadLetters().Park(t.Context(), parkedLetter(2*i+1), parkedLetter(2*i+2)); err != nil {
					return err
				}
				if i >= 4 {
					err := tx.Savepoint(t.Context(), func(ctx context.Context) error { return removeTwo(ctx, tx.DeadLetters()) })
					if err != nil {
						return err
					}
				}
				if i%3 == 0 {
					return context.Canceled // roll back
				}
				return nil
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				assert.NoError(t, err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		got := waiting(t, store.DeadLetters())
		require.Zero(t, len(got)%2)
		require.IsIncreasing(t, append([]uint64{0}, got...))
	}
}

func removeTwo(ctx context.Context, letters dlq.Store) error {
	first, err := letters.Letters(ctx, parkedLetter(1).Sequence, 2)
	for i := 0; err == nil && i < len(first); i++ {
		err = letters.Remove(ctx, first[i])
	}
	return err
}

func openPorts(t *testing.T, config memory.Config) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

func inTx(ctx context.Context, store *memory.Store, f func(tx projection.Tx) error) error {
	tx, err := store.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// advance moves the checkpoint of titles from wherever it stands.
func advance(t *testing.T, tx projection.Tx, to uint64) {
	t.Helper()
	require.NoError(t, tx.Checkpoints().Move(t.Context(), titles, checkpoint.Move{From: standsAt(t, tx.Checkpoints()), To: to}))
}

func standsAt(t *testing.T, s checkpoint.Store) uint64 {
	t.Helper()
	found, err := s.Load(t.Context(), titles)
	require.NoError(t, err)
	return found.Position
}

func parkedLetter(position uint64) dlq.Letter {
	return dlq.Letter{
		Sequence: dlq.Sequence{Projection: "titles", Version: 1, Key: "a"},
		Position: position, EventID: uuid.Max, EventType: "DocumentEdited", ParkedAt: time.Unix(1, 0),
	}
}

func waiting(t *testing.T, s dlq.Store) []uint64 {
	t.Helper()
	letters, err := s.Letters(t.Context(), parkedLetter(1).Sequence, 0)
	require.NoError(t, err)
	var positions []uint64
	for i := range letters {
		positions = append(positions, letters[i].Position)
	}
	return positions
}

func someSnapshot() aggregate.Snapshot {
	return aggregate.Snapshot{
		Stream:  eventstore.Stream{AggregateType: "Document", AggregateID: uuid.Max},
		StoreID: uuid.Max, Version: 1, SchemaVersion: 1, TakenAt: time.Unix(1, 0),
	}
}
