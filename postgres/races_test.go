package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// TestTwoProcessesRunOneProjection has two runners, each with a store of its
// own, fight for one projection. Again and again a handler sleeps through its
// lease: it goes on only when the other process has taken over.
func TestTwoProcessesRunOneProjection(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	const streams, each, takeovers = 80, 5, 4
	for range streams {
		add(t, store, each)
	}
	var slept sync.Map
	// Other connections, so that it holds whatever becomes of the handler's.
	expire := func(owner string) (owned bool) {
		return store.count(t, "WITH l AS (UPDATE evident.leases SET expires_at = 'epoch' WHERE owner = '"+owner+"' RETURNING 1) SELECT count(*) FROM l") > 0
	}
	takenOver := func() bool { // the lease, and the checkpoint under its fence
		return store.count(t, "SELECT count(*) FROM evident.checkpoints AS c JOIN evident.leases AS l ON c.fence = l.fence") > 0
	}
	sleep := func(owner string, position uint64) {
		if _, twice := slept.Load(position); twice || position%(streams*each/takeovers) != 1 || !expire(owner) {
			return // somebody who has lost the lease does not count: whoever has it will sleep
		}
		slept.Store(position, true)
		assert.Eventually(t, func() bool { return !expire(owner) && takenOver() }, 20*time.Second, 5*time.Millisecond)
	}
	var wg sync.WaitGroup
	for owner, process := range map[string]*postgres.Store{"one": store.Store, "other": store.again(t)} {
		config := quick(ledgerProjection(func(_ context.Context, _ pgx.Tx, e event.Event) error { sleep(owner, e.Position); return nil }))
		config.Owner, config.BatchSize, config.LeaseTTL, config.Retry.MaxAttempts = owner, 7, time.Second, 100
		runner, err := projection.NewRunner(process, config)
		require.NoError(t, err)
		wg.Go(func() { assert.NoError(t, runner.RunUntilCaughtUp(t.Context())) })
	}
	wg.Wait()
	requireEachOnce(t, store, streams*each)
	assert.Greater(t, store.count(t, "SELECT fence FROM evident.leases"), takeovers, "it did change hands")
}

// ledgerProjection writes each event down before the handler is called.
func ledgerProjection(handler func(ctx context.Context, tx pgx.Tx, e event.Event) error) *postgres.Projection {
	return postgres.NewProjection("ledger", 1,
		postgres.Table("ledger", "line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, position bigint NOT NULL"),
		postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
			if _, err := tx.Exec(ctx, "INSERT INTO ledger (position) VALUES ($1)", e.Position); err != nil {
				return err
			}
			return handler(ctx, tx, e)
		}))
}

// TestAnEventDoesNotPassItsSequence has one process bring events, which wait if
// their sequence is parked, and another one drain the sequence. Neither a lease
// nor a fence keeps them apart here: the sequence's row has to.
func TestAnEventDoesNotPassItsSequence(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	store.run(t, "CREATE TABLE ledger (line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, position bigint NOT NULL)")
	const last = 200
	s := dlq.Sequence{Projection: "p", Version: 1, Key: "a"}
	write := func(ctx context.Context, tx *postgres.Tx, position uint64) error {
		_, err := tx.PGX().Exec(ctx, "INSERT INTO ledger (position) VALUES ($1)", position)
		return err
	}
	arrive := func(ctx context.Context, tx *postgres.Tx, position uint64) error {
		parked, err := tx.DeadLetters().Parked(ctx, "p", 1, []string{"a"})
		if err != nil {
			return err
		}
		if parked["a"] || position%5 == 0 {
			return tx.DeadLetters().Park(ctx, letterAt(s, position))
		}
		return write(ctx, tx, position)
	}
	drain := func(ctx context.Context, tx *postgres.Tx) error {
		letters, err := tx.DeadLetters().Letters(ctx, s, 3)
		for _, l := range letters {
			err = errors.Join(err, write(ctx, tx, l.Position), tx.DeadLetters().Remove(ctx, l))
		}
		return err
	}
	other := store.again(t)
	arrived := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(arrived)
		for position := range uint64(last) {
			assert.NoError(t, inOwnTx(t.Context(), store, func(ctx context.Context, tx *postgres.Tx) error { return arrive(ctx, tx, position+1) }))
		}
	})
	for range 2 { // drains, which race with each other, too
		wg.Go(func() {
			for done := false; !done; {
				select {
				case <-arrived:
					done = true
				default:
				}
				assert.NoError(t, inOwnTx(t.Context(), other, drain))
			}
		})
	}
	wg.Wait()
	for store.count(t, "SELECT count(*) FROM evident.dead_letters") > 0 {
		require.NoError(t, inOwnTx(t.Context(), store, drain))
	}
	requireEachOnce(t, store, last)
	assert.Zero(t, store.count(t, "SELECT count(*) FROM evident.dead_letter_sequences"), "none is parked without letters")
}

func inOwnTx(ctx context.Context, store projection.Progress, f func(ctx context.Context, tx *postgres.Tx) error) error {
	return inTx(ctx, store, func(tx projection.Tx) error {
		own, ok := projection.TxAs[*postgres.Tx](tx)
		if !ok {
			return errors.New("not a transaction of this package")
		}
		return f(ctx, own)
	})
}

func letterAt(s dlq.Sequence, position uint64) dlq.Letter {
	return dlq.Letter{Sequence: s, Position: position, EventID: uuid.New(), EventType: "Created", Cause: "broken", ParkedAt: time.Unix(1, 0)}
}

// TestParkingsDoNotBlockEachOther parks the same sequences in opposite order.
func TestParkingsDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	other := store.again(t)
	var wg sync.WaitGroup
	for i, letters := range []dlq.Store{store.DeadLetters(), other.DeadLetters()} {
		wg.Go(func() {
			for round := range 50 {
				var all []dlq.Letter
				for n := range 10 {
					key := strconv.Itoa((n*(1-2*i) + 10) % 10)
					all = append(all, letterAt(dlq.Sequence{Projection: "p", Version: 1, Key: key}, uint64(2*round+i+1)))
				}
				assert.NoError(t, letters.Park(t.Context(), all...))
			}
		})
	}
	wg.Wait()
	stats, err := store.DeadLetters().Stats(t.Context(), "p", 1)
	require.NoError(t, err)
	assert.Equal(t, 10, stats.Sequences)
	assert.Equal(t, 1000, stats.Letters)
}

func TestTimeIsTheDatabasesOwn(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	taken, err := store.Leases().Acquire(t.Context(), "titles", "a", time.Hour)
	require.NoError(t, err)
	left := store.count(t, "SELECT round(extract(epoch FROM expires_at - clock_timestamp())) FROM evident.leases")
	assert.InDelta(t, 3600, left, 30)
	_, err = store.again(t).Leases().Acquire(t.Context(), "titles", "b", time.Hour)
	require.ErrorContains(t, err, taken.ExpiresAt.Format(time.RFC3339Nano))

	key := checkpoint.Key{Projection: "titles", Version: 1}
	require.NoError(t, store.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 1, StoreID: store.ID()}))
	assert.Equal(t, 1, store.count(t, "SELECT count(*) FROM evident.checkpoints WHERE updated_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()"))
}

// TestAShortLease has the least time to live that there is.
func TestAShortLease(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	for i := range uint64(3) {
		taken, err := store.Leases().Acquire(t.Context(), "titles", fmt.Sprint("owner ", i), time.Nanosecond)
		require.NoError(t, err)
		assert.Equal(t, i+1, taken.Fence)
	}
}
