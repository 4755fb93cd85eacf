package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// run gives a projection what is new to it.
func run(t *testing.T, store eventstore.Store, progress projection.Progress) error {
	t.Helper()
	runner, err := projection.NewRunner(store, projection.Config{
		Progress:    progress,
		Projections: []projection.Projection{projection.New("mails", 1, projection.OnEvery(func(context.Context, event.Event) error { return nil }))},
	})
	require.NoError(t, err)
	return runner.RunUntilCaughtUp(t.Context())
}

func TestRenewStopsWhoeverKnowsTheOldHistory(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	progress, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	store := open(t, config)
	_, err = store.Append(t.Context(), order("", 3))
	require.NoError(t, err)
	require.NoError(t, run(t, store, progress))
	require.NoError(t, store.Close())

	id, err := postgres.Renew(t.Context(), config, 0)
	require.NoError(t, err)
	assert.NotEqual(t, store.ID(), id)
	renewed := open(t, config)
	assert.Equal(t, id, renewed.ID())
	require.ErrorIs(t, run(t, renewed, progress), checkpoint.ErrOtherStore)
	assert.Len(t, positions(t, renewed), 3, "history is what it was")
}

func TestRenewTakesTheCheckpointsOfTheDatabaseAlong(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	_, err := store.Append(t.Context(), order("", 3))
	require.NoError(t, err)
	insert := func(name string, position int, id uuid.UUID) {
		t.Helper()
		execute(t, config.URL, fmt.Sprintf("INSERT INTO evident.checkpoints VALUES ('%s', 1, 0, %d, '%s', 1, now())", name, position, id))
	}
	other := uuid.New()
	insert("same", 3, store.ID())
	insert("ahead", 4, store.ID())
	insert("other", 2, other)
	old := store.ID()
	require.NoError(t, store.Close())
	id, err := postgres.Renew(t.Context(), config, 0)
	require.NoError(t, err)

	rows, err := dial(t, config.URL).Query(t.Context(), "SELECT projection, store_id, position FROM evident.checkpoints ORDER BY projection")
	require.NoError(t, err)
	var lines []string
	for rows.Next() {
		var name string
		var of uuid.UUID
		var position int
		require.NoError(t, rows.Scan(&name, &of, &position))
		lines = append(lines, fmt.Sprint(name, " ", of, " ", position))
	}
	require.NoError(t, rows.Err())
	assert.Equal(t, []string{fmt.Sprint("ahead ", old, " 4"), fmt.Sprint("other ", other, " 2"), fmt.Sprint("same ", id, " 3")}, lines)
}

func TestRenewLeavesOutWhatAnybodyMayHaveSeen(t *testing.T) {
	t.Parallel()
	const half = 1 << 31 // of what a lock can tell
	for name, known := range map[string]struct {
		statement string
		seen      uint64
		above     uint64
	}{
		"only the database knows":                {above: 2},
		"a checkpoint elsewhere":                 {seen: 5000, above: 5000},
		"a checkpoint in the database":           {statement: "INSERT INTO evident.checkpoints VALUES ('x', 1, 0, 6000, NULL, 1, now())", above: 6000},
		"the mark":                               {statement: "UPDATE evident.mark SET position = 7000", above: 7000},
		"the sequence":                           {statement: "SELECT setval('evident.position', 8000)", above: 8000},
		"just below half of a lock's range":      {seen: half - 5, above: half - 5},
		"more than half of a lock's range above": {seen: half + 5, above: half + 5},
		"nearly a lock's whole range above":      {seen: 2*half - 5, above: 2*half - 5},
		"many times that range above":            {seen: 9*2*half + half/2, above: 9*2*half + half/2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newDatabase(t)
			store := open(t, config)
			_, err := store.Append(t.Context(), order("", 2))
			require.NoError(t, err)
			require.NoError(t, store.Close())
			if known.statement != "" {
				execute(t, config.URL, known.statement)
			}
			_, err = postgres.Renew(t.Context(), config, known.seen)
			require.NoError(t, err)
			assert.LessOrEqual(t, markOf(t, dial(t, config.URL)), uint64(2))

			// The head stays where it is while the first writer is at it, and then goes on.
			store = open(t, config)
			tx := beginPlain(t, store)
			result, err := store.Within(tx).Append(t.Context(), order("", 1))
			require.NoError(t, err)
			assert.Greater(t, result.Position, known.above)
			head, err := store.Head(t.Context())
			require.NoError(t, err)
			assert.Equal(t, uint64(2), head)
			require.NoError(t, tx.Commit(t.Context()))
			assert.Equal(t, []uint64{1, 2, result.Position}, positions(t, store))
		})
	}
}

// An append of several events takes its positions in two steps, and would undo a
// renewal between them.
func TestRenewWaitsForWhoTakesPositions(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	_, err := store.Append(t.Context(), order("", 2))
	require.NoError(t, err)
	require.NoError(t, store.Close())
	taker, other := dial(t, config.URL), dial(t, config.URL)
	exec := func(statement string) {
		_, err := taker.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	exec("SELECT pg_advisory_lock('evident.store'::regclass::oid::int, 1), nextval('evident.position')")
	done := make(chan error, 1)
	go func() { _, err := postgres.Renew(t.Context(), config, 5000); done <- err }()
	require.Eventually(t, func() bool {
		var waits bool
		err := other.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND classid = 'evident.store'::regclass)").Scan(&waits)
		return err == nil && waits
	}, patience, tick)
	exec("SELECT setval('evident.position', 12), pg_advisory_unlock('evident.store'::regclass::oid::int, 1)")
	require.NoError(t, <-done)
	var last int64
	require.NoError(t, other.QueryRow(t.Context(), "SELECT last_value FROM evident.position").Scan(&last))
	assert.Greater(t, last, int64(5000))
}

func TestRenewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	renew := func(config postgres.Config, seen uint64) error {
		_, err := postgres.Renew(t.Context(), config, seen)
		return err
	}
	require.ErrorIs(t, renew(postgres.Config{}, 0), event.ErrInvalid)
	require.ErrorIs(t, renew(config, 1<<63), event.ErrInvalid)
	require.ErrorIs(t, renew(postgres.Config{URL: pgtest.URL(t)}, 0), eventstore.ErrSchema)
	require.ErrorIs(t, renew(granted(t, config, postgres.CanProject), 0), postgres.ErrPermission)
	require.ErrorIs(t, renew(postgres.Config{URL: "postgres://127.0.0.1:1/nowhere"}, 0), eventstore.ErrUnavailable)
	execute(t, config.URL, "DELETE FROM evident.store")
	require.ErrorIs(t, renew(config, 0), eventstore.ErrCorrupt)
}
