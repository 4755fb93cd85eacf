//go:build unix

package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/internal/chaostest/sqlitehome"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/sqlite"
)

// chaosHome opens what the processes of the chaos need.
func chaosHome(ctx context.Context, j chaostest.Job, check func(events ...event.Event) error) (chaostest.Place, error) {
	store, err := sqlite.Open(ctx, sqlite.Config{Path: j.Address})
	if err != nil {
		return chaostest.Place{}, err
	}
	return chaostest.Place{Store: store, Projections: sqlitehome.Projections(j, check), Close: store.Close}, nil
}

func newArena(t *testing.T, lanes int) chaostest.Arena {
	t.Helper()
	config := newFile(t)
	store := open(t, config)
	db := raw(t, config.Path)
	_, err := db.ExecContext(t.Context(), "PRAGMA busy_timeout = 10000")
	require.NoError(t, err)
	return chaostest.Arena{
		Store: store, Address: config.Path, Lanes: lanes, Slow: 2 * time.Millisecond, Pace: 10 * time.Millisecond, Short: 10 * time.Second,
		Look: func(ctx context.Context, owner string) (s chaostest.State, err error) {
			return sqlitehome.Look(ctx, db, owner)
		},
	}
}

// lanesOf returns how many lanes the projections of a cluster have: those that the
// runner can have.
func lanesOf(store any) int {
	if _, ok := store.(interface{ Registry() registry.Store }); ok {
		return 8
	}
	return 1
}

// It measures, so nothing else of the package runs beside it.
func TestChaosCluster(t *testing.T) { //nolint:paralleltest // see above
	a := newArena(t, 1)
	a.Lanes = lanesOf(a.Store)
	way := chaostest.Way{Address: a.Address}
	a.Pace = 20 * time.Millisecond
	chaostest.Cluster(t, a, true, [4]chaostest.Way{way, way, way, way})
}

func TestChaosKilledRunner(t *testing.T) {
	t.Parallel()
	chaostest.Kill(t, newArena(t, 1))
}
