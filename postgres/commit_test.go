package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// lateProjection writes rows of which a constraint is looked at no sooner than at
// the commit: those of good events are all different.
func lateProjection(rowOf func(e event.Event) uint64) *postgres.Projection {
	return postgres.NewProjection("late", 1,
		postgres.Table("late", "position bigint, row_id bigint, CONSTRAINT late_once UNIQUE (row_id) DEFERRABLE INITIALLY DEFERRED"),
		postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
			_, err := tx.Exec(ctx, "INSERT INTO late (position, row_id) VALUES ($1, $2)", e.Position, rowOf(e))
			return err
		}))
}

func TestTrapAnEventThatFailsOnlyAtTheCommitParks(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	bad := add(t, store, 3) // one stream
	for range 5 {
		add(t, store, 2)
	}
	healed := false
	p := lateProjection(func(e event.Event) uint64 {
		if e.Position == bad.Position-1 && !healed {
			return 1 // that of the first event
		}
		return e.Position
	})
	config := quick(p)
	runner, err := projection.NewRunner(store.Store, config)
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	assert.Equal(t, 11, store.count(t, "SELECT count(*) FROM late"))
	parked, err := store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	require.Len(t, parked, 1)
	assert.Equal(t, 2, parked[0].Letters, "it and the next one of its stream")
	assert.Contains(t, parked[0].First.Cause, "late_once")

	again, err := runner.Redrive(t.Context(), "late")
	require.NoError(t, err)
	assert.Equal(t, projection.Redriven{Failed: 1}, again)
	parked, err = store.DeadLetters().Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	assert.Equal(t, 1, parked[0].First.Redrives)

	healed = true
	done, err := runner.Redrive(t.Context(), "late")
	require.NoError(t, err)
	assert.Equal(t, projection.Redriven{Applied: 2}, done)
	assert.Equal(t, 13, store.count(t, "SELECT count(DISTINCT position) FROM late"))
}
