package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

func TestRebuildBesideALiveVersion(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	chaostest.Beside(t, chaostest.Lines{
		Store: store.Store,
		Version: func(version int) projection.Projection {
			table := fmt.Sprintf("lines_v%d", version)
			return postgres.NewProjection("lines", version,
				postgres.Table(table, "position bigint NOT NULL"),
				postgres.Index(fmt.Sprintf("CREATE UNIQUE INDEX %s_once ON %s (position)", table, table)),
				postgres.View("lines", fmt.Sprintf("SELECT position, %d AS version FROM %s", version, table)),
				postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
					_, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", e.Position)
					return err
				}))
		},
		Read: func(ctx context.Context) (rows, version int, err error) {
			err = store.Pool().QueryRow(ctx, "SELECT count(*), coalesce(max(version), 0) FROM lines").Scan(&rows, &version)
			return rows, version, err
		},
	})
}
