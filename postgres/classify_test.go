package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// TestWhatErrorsOfStatementsMean has a statement in a handler's transaction
// fail, and asks whose fault that is.
func TestWhatErrorsOfStatementsMean(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	store.run(t, "CREATE TABLE t (n int PRIMARY KEY CHECK (n > 0))")
	raise := func(code string) string {
		return fmt.Sprintf("DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = '%s'; END $$", code)
	}
	const unclassified, infrastructure, poison = projection.Unclassified, projection.Infrastructure, projection.Poison
	for statement, want := range map[string]projection.Class{
		"INSERT INTO t VALUES (1), (1)": poison,
		"INSERT INTO t VALUES (0)":      poison,
		"INSERT INTO t VALUES (NULL)":   poison,
		"SELECT 'no number'::int":       poison,
		"SELECT 2147483648::int":        poison,
		"SELECT 1/0":                    poison,
		"SELECT '{'::json":              poison,
		raise("40P01"):                  infrastructure, // deadlock
		raise("40001"):                  infrastructure, // serialization failure
		raise("53300"):                  infrastructure, // too many connections
		raise("53100"):                  infrastructure, // disk full
		raise("57P01"):                  infrastructure, // shutdown
		"SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)":      infrastructure,
		"SET TRANSACTION READ ONLY; INSERT INTO t VALUES (1)":       infrastructure,
		"SELECT * FROM nowhere":                                     infrastructure, // is still to be made
		"SET LOCAL ROLE pg_signal_backend; SELECT * FROM pg_authid": infrastructure,
		"SELECT pg_terminate_backend(pg_backend_pid())":             infrastructure,
		"SELEC":        unclassified,
		raise("P0001"): unclassified,
		raise("25P02"): unclassified,
	} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			tx := begin(t, store)
			_, err := tx.PGX().Exec(t.Context(), statement)
			require.Error(t, err)
			class, known := store.Classify(fmt.Errorf("handler: %w", err))
			assert.Equal(t, want, class, err.Error())
			assert.Equal(t, want != unclassified, known)
		})
	}
	class, known := store.Classify(errors.New("some other error"))
	assert.Equal(t, unclassified, class)
	assert.False(t, known)
}

// TestAFailureThatWasPassedOver shows what a transaction says that is used
// after a statement of it has failed.
func TestAFailureThatWasPassedOver(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	tx := begin(t, store)
	_, err := tx.PGX().Exec(t.Context(), "SELECT 1/0")
	require.Error(t, err)
	_, err = tx.PGX().Exec(t.Context(), "SELECT 1")
	class, known := store.Classify(err)
	assert.Equal(t, projection.Unclassified, class, "some event may be at fault: only one by one can tell")
	assert.False(t, known)
	require.Error(t, tx.Commit(t.Context()), "it keeps nothing, and says so")
}

// TestATransactionThatWasEndedBehindItsBack shows that nothing is then kept by
// itself, outside of any transaction.
func TestATransactionThatWasEndedBehindItsBack(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	tx := begin(t, store)
	_, err := tx.PGX().Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	key := checkpoint.Key{Projection: "titles", Version: 1}
	require.ErrorIs(t, tx.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 1, StoreID: store.ID()}), postgres.ErrTxEnded)
	require.ErrorIs(t, tx.Savepoint(t.Context(), func(context.Context) error { return nil }), postgres.ErrTxEnded)
	require.ErrorIs(t, tx.Commit(t.Context()), postgres.ErrTxEnded)
	stands, err := store.Checkpoints().Load(t.Context(), key)
	require.NoError(t, err)
	assert.Zero(t, stands.Position)
}
