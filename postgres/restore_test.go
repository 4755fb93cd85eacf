package postgres_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// A history that was dumped and restored into a new server is the same one:
// readers go on where they were, and no position is given twice.
func TestDumpAndRestore(t *testing.T) {
	t.Parallel()
	from, to := pgtest.Private(t), pgtest.Private(t)
	source := postgres.Config{URL: newDatabaseOn(t, from, "source")}
	require.NoError(t, postgres.Migrate(t.Context(), source))
	before := open(t, source)
	kept := newAppend(3)
	_, err := before.Append(t.Context(), kept)
	require.NoError(t, err)
	rolledBack, err := before.Pool().Begin(t.Context())
	require.NoError(t, err)
	lost, err := before.Within(rolledBack).Append(t.Context(), newAppend(40))
	require.NoError(t, err)
	require.NoError(t, rolledBack.Rollback(t.Context()))
	checkpoint, err := before.Head(t.Context())
	require.NoError(t, err)

	target := postgres.Config{URL: newDatabaseOn(t, to, "target")}
	dump := filepath.Join(t.TempDir(), "evident.dump")
	program(t, from, "pg_dump", "--format=custom", "--file="+dump, "--dbname="+source.URL)
	program(t, to, "pg_restore", "--exit-on-error", "--dbname="+target.URL, dump)

	require.NoError(t, postgres.Migrate(t.Context(), target))
	after := open(t, target)
	require.Equal(t, before.ID(), after.ID(), "the same history")
	requireOnce(t, after, kept)
	head, err := after.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, checkpoint, head)
	want, _, err := collect(before.ReadAll(t.Context(), eventstore.Query{}))
	require.NoError(t, err)
	got, _, err := collect(after.ReadAll(t.Context(), eventstore.Query{}))
	require.NoError(t, err)
	require.Equal(t, want, got)

	// A resent append is recognised, the stream goes on, and so does the reader.
	_, err = after.Append(t.Context(), kept)
	require.NoError(t, err)
	next := newAppend(2)
	next.Stream, next.Expected = kept.Stream, eventstore.Exact(3)
	result, err := after.Append(t.Context(), next)
	require.NoError(t, err)
	require.Equal(t, []uint64{5}, result.Versions)
	require.Greater(t, result.Position, lost.Position, "positions that were handed out before the dump are not handed out again")
	fresh, _, err := collect(after.ReadAll(t.Context(), eventstore.Query{After: checkpoint}))
	require.NoError(t, err)
	require.Len(t, fresh, 2)
	require.Equal(t, next.Events[0].ID, fresh[0].ID)

	_, err = after.Pool().Exec(t.Context(), "DELETE FROM evident.events")
	require.ErrorContains(t, err, "append-only", "history is guarded there, too")
}

// Another store's positions mean nothing here, and its id says so.
func TestStoresHaveDifferentIDs(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	first := open(t, config)
	require.Equal(t, first.ID(), open(t, config).ID())
	config.Schema = "another"
	require.NoError(t, postgres.Migrate(t.Context(), config))
	require.NotEqual(t, first.ID(), open(t, config).ID())
	require.NotEqual(t, first.ID(), newStore(t).ID())
}

// program runs a program of the server's own installation.
func program(t *testing.T, server *pgtest.Server, name string, args ...string) {
	t.Helper()
	path, err := server.Bin(name)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// After a crash a sequence can fall back and hand out positions anew. A reader
// that is outside has not seen the first time, so it misses nothing.
func TestSequenceThatFallsBackInACrash(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Setting("wal_writer_delay", "10s"))
	config := postgres.Config{URL: newDatabaseOn(t, server, "chaos")}
	require.NoError(t, postgres.Migrate(t.Context(), config))
	before, err := postgres.Open(t.Context(), config)
	require.NoError(t, err)
	first, err := before.Append(t.Context(), newAppend(3))
	require.NoError(t, err)
	require.NoError(t, before.Close()) // nothing else is to be written to disk from here on
	store := open(t, config)
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	undone := newAppend(500)
	last, err := store.Within(tx).Append(t.Context(), undone)
	require.NoError(t, err)
	checkpoint, err := store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, first.Position, checkpoint)

	require.NoError(t, server.Crash(t.Context()))
	require.NoError(t, server.Restart(t.Context()))
	require.Error(t, tx.Commit(t.Context()))
	again := open(t, config)
	result, err := again.Append(t.Context(), newAppend(1))
	require.NoError(t, err)
	require.Less(t, result.Position, last.Position, "the sequence did not fall back, so this test shows nothing")
	for _, s := range []*postgres.Store{store, again} {
		require.Eventually(t, func() bool { _, err := s.Head(t.Context()); return err == nil }, patience, tick)
		fresh, _, err := collect(s.ReadAll(t.Context(), eventstore.Query{After: checkpoint}))
		require.NoError(t, err)
		require.Len(t, fresh, 1)
		require.Equal(t, result.Position, fresh[0].Position)
		require.Zero(t, storedOf(t, s, undone))
	}
}

// A writer that has read the sequence, and is slow to announce its floor, does
// not make the head go back for those who have seen it.
func TestHeadDoesNotGoBack(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	result, err := store.Append(t.Context(), newAppend(3))
	require.NoError(t, err)
	head, err := store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, result.Position, head)
	// What evident.announce does, with the sequence's value from before.
	_, err = tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock_shared('evident.position'::regclass::oid::int, 0)")
	require.NoError(t, err)
	head, err = store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, result.Position, head)
}
