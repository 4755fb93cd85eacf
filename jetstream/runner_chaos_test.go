//go:build unix

package jetstream_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/internal/chaostest/sqlitehome"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/sqlite"
)

// newArena has events on a server of its own and everything else in a file.
func newArena(t *testing.T, lanes int) chaostest.Arena {
	t.Helper()
	server := natstest.StartProcess(t)
	path := filepath.Join(t.TempDir(), "readmodels.db")
	require.NoError(t, sqlite.Migrate(t.Context(), sqlite.Config{Path: path}))
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "PRAGMA busy_timeout = 10000")
	require.NoError(t, err)
	return chaostest.Arena{
		Store:   newEvents(t, server.JetStream(t), jetstream.Config{Prefix: "evident"}),
		Address: chaosAddress(server.URL(), path), Lanes: lanes, Slow: 2 * time.Millisecond, Pace: 10 * time.Millisecond,
		Look: func(ctx context.Context, owner string) (chaostest.State, error) { return sqlitehome.Look(ctx, db, owner) },
	}
}

// It measures, so nothing else of the package runs beside it.
func TestChaosCluster(t *testing.T) { //nolint:paralleltest // see above
	a := newArena(t, 8)
	a.Pace = 20 * time.Millisecond
	way := chaostest.Way{Address: a.Address}
	chaostest.Cluster(t, a, true, [4]chaostest.Way{way, way, way, way})
}

func TestChaosKilledRunner(t *testing.T) {
	t.Parallel()
	chaostest.Kill(t, newArena(t, 1))
}
