//go:build unix

package jetstream_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/internal/chaostest/sqlitehome"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// newArena has events on a server of its own, which is killed now and then, and
// rows and progress in a file: each event takes effect exactly once.
func newArena(t *testing.T, lanes int) chaostest.Arena {
	t.Helper()
	path := filepath.Join(t.TempDir(), "readmodels.db")
	require.NoError(t, sqlite.Migrate(t.Context(), readModels(path)))
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "PRAGMA busy_timeout = 10000")
	require.NoError(t, err)
	a := arenaOn(t, natstest.StartProcess(t), lanes)
	a.Address = chaosAddress(a.Address, path)
	a.Look = func(ctx context.Context, owner string) (chaostest.State, error) {
		return sqlitehome.Look(ctx, db, owner)
	}
	return a
}

func arenaOn(t *testing.T, server *natstest.Process, lanes int) chaostest.Arena {
	t.Helper()
	return chaostest.Arena{
		Store:   newEvents(t, server.JetStream(t), jetstream.Config{Prefix: "evident"}),
		Address: server.URL(), Lanes: lanes, Slow: 2 * time.Millisecond, Pace: 10 * time.Millisecond, Short: 5 * time.Second,
		Strike: func() (heal func()) { server.Kill(); return func() { server.Restart(t) } },
	}
}

// newArenaApart has progress on the server, too, and effects in buckets that know
// nothing of it: each event takes effect at least once.
func newArenaApart(t *testing.T, lanes int) chaostest.Arena {
	t.Helper()
	server := natstest.StartProcess(t)
	a := arenaOn(t, server, lanes)
	store, ok := a.Store.(*jetstream.Store)
	require.True(t, ok)
	js := server.JetStream(t)
	require.NoError(t, provisionBuckets(t.Context(), js))
	target, err := openBuckets(t.Context(), js)
	require.NoError(t, err)
	a.Apart = true
	a.Look = func(ctx context.Context, owner string) (chaostest.State, error) {
		s, err := standingOf(ctx, store)
		if err == nil && owner != chaostest.Nobody {
			err = errors.Join(addLetters(ctx, store, &s), target.look(ctx, &s, owner))
		}
		if err != nil && ctx.Err() == nil { // as long as the server is gone, also to clients that know no store
			err = fmt.Errorf("%w: %s", eventstore.ErrUnavailable, err.Error())
		}
		return s, err
	}
	return a
}

// standingOf reads where lanes stand, and who runs them.
func standingOf(ctx context.Context, store *jetstream.Store) (chaostest.State, error) {
	s := chaostest.State{Tallies: make(map[uuid.UUID]chaostest.Tally), Checkpoints: make(map[string]map[int]chaostest.Checkpoint), Letters: make(map[string]map[uint64]bool)}
	lanes, err := store.Checkpoints().List(ctx, "")
	for _, c := range lanes {
		name := c.Key.Projection
		if s.Checkpoints[name] == nil {
			s.Checkpoints[name] = make(map[int]chaostest.Checkpoint)
		}
		s.Checkpoints[name][c.Key.Lane] = chaostest.Checkpoint{Position: c.Position, Fence: c.Fence}
	}
	leases, bad := jetstream.EveryLease(ctx, store)
	s.Leases = leases
	return s, errors.Join(err, bad)
}

// addLetters adds the letters to a state.
func addLetters(ctx context.Context, progress projection.Progress, s *chaostest.State) error {
	for name := range s.Checkpoints {
		s.Letters[name] = make(map[uint64]bool)
		parked, err := progress.DeadLetters().Sequences(ctx, dlq.Filter{Projection: name})
		if err != nil {
			return err
		}
		for _, p := range parked {
			letters, err := progress.DeadLetters().Letters(ctx, p.Sequence, 0)
			if err != nil {
				return err
			}
			for _, l := range letters {
				s.Letters[name][l.Position] = true
			}
		}
	}
	return nil
}

// It measures, so nothing else of the package runs beside it.
func TestChaosCluster(t *testing.T) { //nolint:paralleltest // see above
	disturb(t, newArena(t, 8), true)
}

// The same with progress and effects on the server. It is left alone: while it is
// gone nobody can take over anything, and how soon they do is measured.
func TestChaosClusterApart(t *testing.T) { //nolint:paralleltest // it measures, too
	a := newArenaApart(t, 4)
	a.Strike = nil
	disturb(t, a, false)
}

func disturb(t *testing.T, a chaostest.Arena, exclusive bool) {
	t.Helper()
	a.Pace = 50 * time.Millisecond
	way := chaostest.Way{Address: a.Address}
	chaostest.Cluster(t, a, exclusive, [4]chaostest.Way{way, way, way, way})
}

func TestChaosKilledRunner(t *testing.T) {
	t.Parallel()
	chaostest.Kill(t, newArena(t, 1))
}

func TestChaosKilledRunnerApart(t *testing.T) {
	t.Parallel()
	chaostest.Kill(t, newArenaApart(t, 1))
}
