package sqlite_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// EVENTS ARE LOST, silently, with exactly once. When SQLite, or a handler,
// undoes the whole transaction in the middle of a batch (INSERT OR ROLLBACK, a
// trigger with RAISE(ROLLBACK), an interrupted write, ROLLBACK), "ROLLBACK TO
// nested" fails, and the runner goes on with the next event. Its SAVEPOINT begins
// a new transaction; RELEASE is refused by the commit hook but leaves that open;
// letters and checkpoint are written into it, and Commit keeps them. What the
// events before had written is gone, and the checkpoint is behind them.
func TestTrapATransactionThatWasUndoneLosesNothing(t *testing.T) {
	t.Parallel()
	for name, misdeed := range map[string]func(ctx context.Context, tx *sql.Tx) error{
		"a constraint that rolls back": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO lines VALUES (NULL)")
			return err
		},
		"one that is passed over": func(ctx context.Context, tx *sql.Tx) error {
			_, _ = tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO lines VALUES (NULL)")
			return nil
		},
		"a handler that rolls back": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "ROLLBACK")
			return err
		},
		"a write that is interrupted": func(ctx context.Context, tx *sql.Tx) error {
			brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err := tx.ExecContext(brief, "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n) INSERT INTO lines SELECT i FROM n")
			if err != nil {
				return projection.AsPoison(err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			for range 10 {
				add(t, store, 1)
			}
			p := sqlite.NewProjection("lines", 1, sqlite.Table("lines", "position INTEGER NOT NULL"),
				sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
					if _, err := tx.ExecContext(ctx, "INSERT INTO lines VALUES (?)", e.Position); err != nil || e.Position != 5 {
						return err
					}
					return misdeed(ctx, tx)
				}))
			r, err := projection.NewRunner(store, trapConfig(p))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err = r.RunUntilCaughtUp(ctx)
			t.Log(err)
			c, err := store.Checkpoints().List(t.Context(), "lines")
			require.NoError(t, err)
			require.NotEmpty(t, c)
			missing := count(t, store, "SELECT count(*) FROM events LEFT JOIN lines USING (position) WHERE lines.position IS NULL"+
				" AND events.position NOT IN (SELECT position FROM dead_letters) AND events.position <= (SELECT position FROM checkpoints)")
			assert.Zero(t, missing, "events at or below the checkpoint are neither in the read model nor in a letter")
		})
	}
}

// The same events, found and parked: all others are applied.
func TestTrapAConstraintThatUndoesTheTransactionIsParked(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	for range 10 {
		add(t, store, 1)
	}
	p := sqlite.NewProjection("lines", 1, sqlite.Table("lines", "position INTEGER CHECK (position <> 5)"),
		sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
			_, err := tx.ExecContext(ctx, "INSERT OR ROLLBACK INTO lines VALUES (?)", e.Position)
			return err
		}))
	r, err := projection.NewRunner(store, trapConfig(p))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, r.RunUntilCaughtUp(ctx))
	assert.Equal(t, 9, count(t, store, "SELECT count(*) FROM lines"))
	assert.Equal(t, 5, count(t, store, "SELECT position FROM dead_letters"))
}
