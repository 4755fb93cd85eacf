package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
)

// Appends of all kinds that come at once share calls, and each is told what
// became of it.
func TestSharedCalls(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	known := orders()
	stored := newOrder()
	_, err := store.Append(t.Context(), eventstore.Append{Stream: known, Events: []event.Event{stored}})
	require.NoError(t, err)
	kinds := []struct {
		append func() []eventstore.Append
		check  func(result eventstore.Result, err error)
	}{
		{func() []eventstore.Append {
			return []eventstore.Append{{Stream: orders(), Expected: eventstore.NoStream(), Events: newOrders(3)}}
		}, func(result eventstore.Result, err error) {
			require.NoError(t, err)
			require.Equal(t, []uint64{3}, result.Versions)
		}},
		{func() []eventstore.Append {
			return []eventstore.Append{{Stream: orders(), Events: newOrders(1)}, {Stream: orders(), Expected: eventstore.NoStream()}, {Stream: orders(), Events: newOrders(2)}}
		}, func(result eventstore.Result, err error) {
			require.NoError(t, err)
			require.Equal(t, []uint64{1, 0, 2}, result.Versions)
		}},
		{func() []eventstore.Append {
			return []eventstore.Append{{Stream: orders(), Events: newOrders(1)}, {Stream: orders(), Expected: eventstore.StreamExists(), Events: newOrders(1)}}
		}, func(_ eventstore.Result, err error) {
			require.ErrorIs(t, err, eventstore.ErrConflict)
		}},
		{func() []eventstore.Append {
			return []eventstore.Append{{Stream: known, Expected: eventstore.NoStream(), Events: []event.Event{stored}}}
		}, func(result eventstore.Result, err error) {
			require.NoError(t, err, "an append that is sent again")
			require.Equal(t, []uint64{1}, result.Versions)
			require.Equal(t, uint64(1), result.Position)
		}},
		{func() []eventstore.Append {
			return []eventstore.Append{{Stream: orders(), Events: []event.Event{stored}}}
		}, func(_ eventstore.Result, err error) {
			require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
		}},
	}
	var all sync.WaitGroup
	for i := range 200 {
		kind := kinds[i%len(kinds)]
		all.Go(func() { kind.check(store.Append(t.Context(), kind.append()...)) })
	}
	all.Wait()
	require.Len(t, readAll(t, store, eventstore.Query{}), 1+40*3+40*3)
}

// Many appends to one stream by one process wait for each other outside of the
// database, and none is lost.
func TestHotStream(t *testing.T) {
	t.Parallel()
	store, stream := newStore(t), orders()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { appendTo(t, store, stream, 2) })
	}
	all.Wait()
	events := readStream(t, store, stream)
	require.Len(t, events, 100)
	for i, e := range events {
		require.Equal(t, uint64(i)+1, e.AggregateVersion)
	}
}

// A caller who gives up while his append waits behind others is told that
// nothing was stored.
func TestWithdrawnAppend(t *testing.T) {
	t.Parallel()
	store, stream := newStore(t), orders()
	holder, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	appendTo(t, store.Within(holder), stream, 1)
	blocked := make(chan error, 1)
	go func() { // has the stream's lock to wait for
		_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: newOrders(1)})
		blocked <- err
	}()
	require.Eventually(t, func() bool {
		return value[int](t, store, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 1
	}, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = store.Append(ctx, eventstore.Append{Stream: stream, Events: newOrders(1)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, eventstore.ErrOutcomeUnknown)
	appendTo(t, store, orders(), 1) // others are not held up
	require.NoError(t, holder.Commit(t.Context()))
	require.NoError(t, <-blocked)
	require.Len(t, readStream(t, store, stream), 2)
}

// What cannot be judged in one go, because the database's default hides what
// others have committed, is judged in another.
func TestRaisedIsolation(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	first := open(t, config)
	execIn(t, first, "ALTER DATABASE "+value[string](t, first, "SELECT current_database()")+" SET default_transaction_isolation = 'serializable'")
	a, b := open(t, config), open(t, config)
	require.Equal(t, "serializable", value[string](t, a, "SHOW transaction_isolation"))
	stream := orders()
	var all sync.WaitGroup
	for _, store := range []*postgres.Store{a, b} {
		for range 20 {
			all.Go(func() {
				_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: newOrders(1)})
				if err != nil {
					require.True(t, eventstore.IsRetryable(err), err)
				}
			})
		}
	}
	all.Wait()
	for i, e := range readStream(t, a, stream) {
		require.Equal(t, uint64(i)+1, e.AggregateVersion)
	}
}

// Several stores live in one database, each in its schema.
func TestManySchemas(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	other := config
	other.Schema = "billing"
	require.NoError(t, postgres.Migrate(t.Context(), other))
	first, second := open(t, config), open(t, other)
	require.NotEqual(t, first.ID(), second.ID())
	tx, err := first.Pool().Begin(t.Context())
	require.NoError(t, err)
	appendTo(t, first.Within(tx), orders(), 1)
	appendTo(t, second.Within(tx), orders(), 1) // both announce a floor
	appendTo(t, first, orders(), 1)
	appendTo(t, second, orders(), 1)
	require.Empty(t, readAll(t, first, eventstore.Query{}))
	require.Empty(t, readAll(t, second, eventstore.Query{}))
	require.NoError(t, tx.Commit(t.Context()))
	require.Len(t, readAll(t, first, eventstore.Query{}), 2)
	require.Len(t, readAll(t, second, eventstore.Query{}), 2)
}

// A floor is given back with the savepoint that announced it, and announced
// anew by what is appended afterwards.
func TestFloorAfterSavepoint(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	nested, err := tx.Begin(t.Context())
	require.NoError(t, err)
	appendTo(t, store.Within(nested), orders(), 1)
	last := appendTo(t, store, orders(), 1).Position
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	require.Less(t, head, last)
	require.NoError(t, nested.Rollback(t.Context()))
	head, err = store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, last, head)
	held := appendTo(t, store.Within(tx), orders(), 1).Position
	appendTo(t, store, orders(), 1)
	head, err = store.Head(t.Context())
	require.NoError(t, err)
	require.Less(t, head, held)
	require.NoError(t, tx.Commit(t.Context()))
	require.Len(t, readAll(t, store, eventstore.Query{}), 3)
}

// Floors carry the low half of a position; the head is right across the
// boundary.
func TestPositionsBeyondTheLowHalf(t *testing.T) {
	t.Parallel()
	for _, start := range []int64{1<<31 - 2, 1<<32 - 3, 5<<32 - 2, 1<<62 + 1<<32 - 2} {
		store := newStore(t)
		execIn(t, store, "SELECT setval('evident.position', $1)", start)
		for range 4 {
			appendTo(t, store, orders(), 1)
			tx, err := store.Pool().Begin(t.Context())
			require.NoError(t, err)
			held := appendTo(t, store.Within(tx), orders(), 1).Position
			after := appendTo(t, store, orders(), 1).Position
			head, err := store.Head(t.Context())
			require.NoError(t, err)
			require.Equal(t, held-1, head)
			require.NoError(t, tx.Rollback(t.Context()))
			head, err = store.Head(t.Context())
			require.NoError(t, err)
			require.Equal(t, after, head)
		}
	}
}

// The head does not count positions that only undone transactions had: after a
// crash the sequence may hand them out anew.
func TestHeadIsNoUndonePosition(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	last := appendTo(t, store, orders(), 2).Position
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	appendTo(t, store.Within(tx), orders(), 5)
	require.NoError(t, tx.Rollback(t.Context()))
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, last, head)
}

// The store's clock is the database's, unless the configuration has one.
func TestClock(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	at := time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC)
	config.Now = func() time.Time { return at }
	store := open(t, config)
	require.Equal(t, at, appendTo(t, store, orders(), 1).RecordedAt)
	require.Equal(t, at, appendTo(t, store, orders(), 2).RecordedAt)
	config.Now = nil
	require.WithinDuration(t, time.Now(), appendTo(t, open(t, config), orders(), 1).RecordedAt, time.Minute)
}

func TestWithin(t *testing.T) {
	t.Parallel()
	store, stream := newStore(t), orders()
	execIn(t, store, "CREATE TABLE notes (id uuid PRIMARY KEY)")
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	within := store.Within(tx)
	first := newOrders(2)
	_, err = within.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: first})
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "INSERT INTO notes VALUES ($1)", stream.AggregateID)
	require.NoError(t, err)
	require.Len(t, readStream(t, within, stream), 2, "its own events")
	require.Empty(t, readStream(t, store, stream), "nobody else's")

	_, err = within.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: newOrders(1)})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	_, err = within.Append(t.Context(), eventstore.Append{Stream: orders(), Events: first[:1]})
	require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
	again, err := within.Append(t.Context(), eventstore.Append{Stream: stream, Expected: eventstore.NoStream(), Events: first})
	require.NoError(t, err, "sent again")
	require.Equal(t, []uint64{2}, again.Versions)
	_, err = within.Append(t.Context(), eventstore.Append{Stream: stream, Events: []event.Event{{}}})
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	require.NoError(t, within.Close())
	require.NoError(t, tx.Commit(t.Context()), "refusals leave it usable")
	store.Nudge()

	require.Len(t, readStream(t, store, stream), 2)
	require.Equal(t, 1, value[int](t, store, "SELECT count(*) FROM notes"))
	_, err = within.Append(t.Context(), eventstore.Append{Stream: stream, Events: newOrders(1)})
	require.Error(t, err, "its transaction has ended")
}

func TestPoolOfTheCaller(t *testing.T) {
	t.Parallel()
	pool := newStore(t).Pool()
	store := open(t, postgres.Config{Pool: pool})
	stream := orders()
	appendTo(t, store, stream, 1)
	require.NoError(t, store.Close())
	require.NoError(t, pool.Ping(t.Context()), "it is the caller's to close")
	_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: newOrders(1)})
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

func TestEventsAreNotChanged(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	appendTo(t, store, orders(), 1)
	for _, statement := range []string{
		"UPDATE evident.events SET actor_id = 'user:eve'", "DELETE FROM evident.events", "TRUNCATE evident.events", "DELETE FROM evident.events WHERE false",
		"INSERT INTO evident.events SELECT * FROM evident.events ON CONFLICT (position) DO UPDATE SET actor_id = 'user:eve'",
	} {
		_, err := store.Pool().Exec(t.Context(), statement)
		require.ErrorContains(t, err, "append-only", statement)
	}
	require.Len(t, readAll(t, store, eventstore.Query{}), 1)
}

func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	appendTo(t, store, orders(), 3)
	tenant := eventstore.Stream{TenantID: "acme", AggregateType: "Order", AggregateID: uuid.New()}
	appendTo(t, store, tenant, 3)
	for index, where := range map[string]string{
		"events_by_position":    "position > 1 AND position <= 10 ORDER BY position LIMIT 10",
		"events_by_tenant":      "position > 1 AND position <= 10 AND tenant_id = 'acme' AND tenant_id <> '' ORDER BY position LIMIT 10",
		"events_by_correlation": "correlation_id = '" + uuid.NewString() + "' AND position > 1 ORDER BY position + 0 LIMIT 10",
		"events_by_stream":      "aggregate_id = '" + uuid.NewString() + "' AND aggregate_version > 1 AND aggregate_type = 'Order' AND tenant_id = '' ORDER BY aggregate_version LIMIT 10",
		"events_by_id":          "event_id = '" + uuid.NewString() + "'",
	} {
		rows, err := store.Pool().Query(t.Context(), "EXPLAIN SELECT * FROM evident.events WHERE "+where)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Contains(t, strings.Join(plan, "\n"), index, where)
	}
}
