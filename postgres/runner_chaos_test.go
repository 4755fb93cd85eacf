//go:build unix

package postgres_test

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/chaostest"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

func TestMain(m *testing.M) {
	if chaostest.Run(chaosHome) {
		return
	}
	os.Exit(m.Run())
}

// chaosHome opens what the processes of the chaos need.
func chaosHome(ctx context.Context, j chaostest.Job, check func(events ...event.Event) error) (chaostest.Place, error) {
	store, err := postgres.Open(ctx, postgres.Config{URL: j.Address})
	if err != nil {
		return chaostest.Place{}, err
	}
	return chaostest.Place{Store: store, Projections: chaosProjections(j, check), Close: store.Close}, nil
}

// laned is a projection that begins in several lanes.
type laned struct {
	*postgres.Projection

	lanes int
}

// Lanes implements [projection.Laned].
func (l laned) Lanes() int { return l.lanes }

func chaosProjections(j chaostest.Job, check func(events ...event.Event) error) []projection.Projection {
	effects := postgres.NewProjection(chaostest.Effects, 1,
		postgres.Table("effects", "line bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, position bigint NOT NULL, stream uuid NOT NULL, owner text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()"),
		postgres.OnEvery(func(ctx context.Context, tx pgx.Tx, e event.Event) error {
			if _, err := tx.Exec(ctx, "INSERT INTO effects (position, stream, owner) VALUES ($1, $2, $3)", e.Position, e.AggregateID, j.Owner); err != nil {
				return err
			}
			return check(e)
		}))
	tallies := postgres.NewProjection(chaostest.Tallies, 1,
		postgres.Table("tallies", "stream uuid PRIMARY KEY, events bigint NOT NULL, sum bigint NOT NULL, last bigint NOT NULL"),
		postgres.OnBatch(func(ctx context.Context, tx pgx.Tx, events []event.Event) error {
			for _, e := range events {
				value, err := chaostest.Value(e)
				if err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, `INSERT INTO tallies AS t VALUES ($1, 1, $2, $3)
					ON CONFLICT (stream) DO UPDATE SET events = t.events + 1, sum = t.sum + excluded.sum, last = excluded.last`, e.AggregateID, value, e.Position); err != nil {
					return err
				}
			}
			return check(events...)
		}))
	return []projection.Projection{laned{effects, j.Lanes}, laned{tallies, j.Lanes}}
}

func newArena(t *testing.T, lanes int) chaostest.Arena {
	t.Helper()
	config := newDatabase(t)
	pool := newPool(t, config.URL)
	return chaostest.Arena{
		Store: open(t, config), Address: withConns(t, config.URL), Lanes: lanes, Slow: 5 * time.Millisecond, Pace: 10 * time.Millisecond, Short: 10 * time.Second,
		Look: func(ctx context.Context, owner string) (s chaostest.State, err error) {
			options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
			err = pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error {
				s, err = lookAt(ctx, tx, owner)
				return err
			})
			return s, err
		},
	}
}

// withConns returns a URL for processes, of which there are several.
func withConns(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	query := u.Query()
	query.Set("pool_max_conns", "8")
	u.RawQuery = query.Encode()
	return u.String()
}

// lookAt reads everything in one transaction.
func lookAt(ctx context.Context, tx pgx.Tx, owner string) (chaostest.State, error) {
	s := chaostest.State{Tallies: make(map[uuid.UUID]chaostest.Tally), Checkpoints: make(map[string]map[int]chaostest.Checkpoint), Letters: make(map[string]map[uint64]bool)}
	var l lease.Lease
	err := eachRow(ctx, tx, func() { s.Leases = append(s.Leases, l) },
		[]any{&l.Name, &l.Owner, &l.Fence, &l.ExpiresAt}, "SELECT name, owner, fence, expires_at FROM evident.leases")
	if err != nil {
		return s, err
	}
	var name string
	var lane int
	var c chaostest.Checkpoint
	err = eachRow(ctx, tx, func() {
		if s.Checkpoints[name] == nil {
			s.Checkpoints[name] = make(map[int]chaostest.Checkpoint)
		}
		s.Checkpoints[name][lane] = c
	}, []any{&name, &lane, &c.Position, &c.Fence}, "SELECT projection, lane, position, fence FROM evident.checkpoints")
	if err != nil {
		return s, err
	}
	var position uint64
	err = eachRow(ctx, tx, func() {
		if s.Letters[name] == nil {
			s.Letters[name] = make(map[uint64]bool)
		}
		s.Letters[name][position] = true
	}, []any{&name, &position}, "SELECT projection, position FROM evident.dead_letters")
	if err != nil {
		return s, err
	}
	err = lookAtTables(ctx, tx, owner, &s)
	return s, err
}

// lookAtTables reads what the projections have made; before their first run
// there is nothing.
func lookAtTables(ctx context.Context, tx pgx.Tx, owner string, s *chaostest.State) error {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('effects') IS NOT NULL AND to_regclass('tallies') IS NOT NULL").Scan(&there); err != nil || !there {
		return err
	}
	var e chaostest.Effect
	err := eachRow(ctx, tx, func() { s.Effects = append(s.Effects, e) },
		[]any{&e.Position, &e.Stream, &e.Owner, &e.At}, "SELECT position, stream, owner, at FROM effects WHERE $1 IN ('', owner) ORDER BY line", owner)
	if err != nil {
		return err
	}
	var stream uuid.UUID
	var tally chaostest.Tally
	return eachRow(ctx, tx, func() { s.Tallies[stream] = tally },
		[]any{&stream, &tally.Events, &tally.Sum, &tally.Last}, "SELECT stream, events, sum, last FROM tallies")
}

// eachRow scans each row of a query, and then calls f.
func eachRow(ctx context.Context, tx pgx.Tx, f func(), into []any, query string, args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, into, func() error { f(); return nil })
	return err
}

// lanesOf returns how many lanes the projections of a cluster have: those that
// the runner can have.
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
	a.Slow *= time.Duration(max(1, a.Lanes/2)) // each lane has less to do
	var ways [4]chaostest.Way
	for i := range ways {
		p, address := newPlug(t, a.Address)
		ways[i] = chaostest.Way{Address: address, Cut: func(silently bool) (heal func()) {
			if silently {
				p.Swallow()
				return p.Heal
			}
			p.Pull()
			return p.PlugIn
		}}
	}
	chaostest.Cluster(t, a, false, ways)
}

func TestChaosKilledRunner(t *testing.T) {
	t.Parallel()
	chaostest.Kill(t, newArena(t, 1))
}
