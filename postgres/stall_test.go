package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

func stallOf(tb testing.TB, store *postgres.Store) postgres.Stall {
	tb.Helper()
	stall, err := store.Stall(tb.Context())
	require.NoError(tb, err)
	return stall
}

func TestAStallNamesTheWriter(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	config.URL += "&application_name=slow-import"
	store := open(t, config)
	assert.Zero(t, stallOf(t, store), "nobody writes")
	_, err := store.Append(t.Context(), order("", 2))
	require.NoError(t, err)
	assert.Zero(t, stallOf(t, store), "the writer is done")

	before := time.Now().Add(-time.Second)
	tx := beginPlain(t, store)
	_, err = store.Within(tx).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 'lunch'")
	require.NoError(t, err)
	assert.Zero(t, stallOf(t, store), "nothing waits yet")
	later := beginPlain(t, store)
	_, err = store.Within(later).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	_, err = store.Append(t.Context(), order("", 4))
	require.NoError(t, err)

	stall := stallOf(t, store)
	assert.WithinRange(t, stall.Since, before, time.Now().Add(time.Second))
	stall.Since = time.Time{}
	assert.Equal(t, postgres.Stall{
		Floor: 2, Waiting: 6, PID: int(tx.Conn().PgConn().PID()), Role: "postgres", Application: "slow-import",
		Client: "127.0.0.1", State: "idle in transaction", Query: "SELECT 'lunch'",
	}, stall)
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	assert.Equal(t, stall.Floor, head)

	require.NoError(t, tx.Rollback(t.Context()))
	next := stallOf(t, store)
	assert.Equal(t, int(later.Conn().PgConn().PID()), next.PID)
	assert.Equal(t, uint64(3), next.Floor)
	assert.Equal(t, uint64(5), next.Waiting)
	require.NoError(t, later.Commit(t.Context()))
	assert.Zero(t, stallOf(t, store))
}

// A role that may not look at others learns who it is all the same.
func TestAStallOfAnotherRole(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	tx := beginPlain(t, store)
	_, err := store.Within(tx).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	_, err = store.Append(t.Context(), order("", 1))
	require.NoError(t, err)
	stall := stallOf(t, open(t, granted(t, config, postgres.CanAppend)))
	assert.Equal(t, postgres.Stall{Floor: 0, Waiting: 2, PID: int(tx.Conn().PgConn().PID()), Role: "postgres", Application: "evident"}, stall)
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestAStallNamesAPreparedTransaction(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Setting("max_prepared_transactions", "5"))
	config := postgres.Config{URL: server.URL()}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	store, conn := open(t, config), dial(t, server.URL())
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = store.Within(tx).Append(t.Context(), order("", 1))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "PREPARE TRANSACTION 'forgotten'")
	require.NoError(t, err)
	_, err = store.Append(t.Context(), order("", 1))
	require.NoError(t, err)

	requireForgotten := func(store *postgres.Store) {
		t.Helper()
		stall := stallOf(t, store)
		assert.WithinDuration(t, time.Now(), stall.Since, time.Minute)
		stall.Since = time.Time{}
		assert.Equal(t, postgres.Stall{Floor: 0, Waiting: 2, Prepared: "forgotten", Role: "postgres"}, stall)
	}
	requireForgotten(store)
	require.NoError(t, store.Close())
	require.NoError(t, server.Restart(t.Context()))
	store = open(t, config)
	requireForgotten(store)
	execute(t, server.URL(), "COMMIT PREPARED 'forgotten'")
	assert.Zero(t, stallOf(t, store))
	assert.Len(t, positions(t, store), 2)
}

func TestAStallOfAStoreThatIsClosed(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	require.NoError(t, store.Close())
	_, err := store.Stall(t.Context())
	require.ErrorIs(t, err, eventstore.ErrClosed)
}
