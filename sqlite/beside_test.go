package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

func TestRebuildBesideALiveVersion(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	chaostest.Beside(t, chaostest.Lines{
		Store: store,
		Version: func(version int) projection.Projection {
			table := fmt.Sprintf("lines_v%d", version)
			return sqlite.NewProjection("lines", version,
				sqlite.Table(table, "position INTEGER NOT NULL"),
				sqlite.Index(fmt.Sprintf("CREATE UNIQUE INDEX %s_once ON %s (position)", table, table)),
				sqlite.View("lines", fmt.Sprintf("SELECT position, %d AS version FROM %s", version, table)),
				sqlite.OnEvery(func(ctx context.Context, tx *sql.Tx, e event.Event) error {
					_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" VALUES (?)", e.Position)
					return err
				}))
		},
		Read: func(ctx context.Context) (rows, version int, err error) {
			err = store.DB().QueryRowContext(ctx, "SELECT count(*), coalesce(max(version), 0) FROM lines").Scan(&rows, &version)
			return rows, version, err
		},
	})
}
