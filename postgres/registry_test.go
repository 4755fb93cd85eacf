package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/registry"
)

// newRecord is a record that was never saved.
func newRecord(version int, state registry.State) registry.Record {
	return registry.Record{Name: registry.Name{Projection: "titles", Version: version}, State: state, Since: time.Unix(1, 0), Lanes: 1}
}

// keep saves a record.
func keep(t *testing.T, s registry.Store, r registry.Record) registry.Record {
	t.Helper()
	saved, err := s.Save(t.Context(), r)
	require.NoError(t, err)
	return saved
}

// While a transaction is about to replace the live version, nobody can say
// whether another one may be live: whoever asks waits.
func TestGoingLiveWaitsForTheTransactionThatReplaces(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(tx *postgres.Tx) error
		want error
	}{
		"and succeeds when it commits":    {func(tx *postgres.Tx) error { return tx.Commit(t.Context()) }, nil},
		"and is refused when it does not": {func(tx *postgres.Tx) error { return tx.Rollback(t.Context()) }, &registry.LiveError{Name: newRecord(2, "").Name, Live: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newHome(t)
			live, next := keep(t, store.Registry(), newRecord(1, registry.Live)), keep(t, store.Registry(), newRecord(2, registry.CaughtUp))
			replacing := begin(t, store)
			live.State, next.State = registry.Replaced, registry.Live
			keep(t, replacing.Registry(), live)
			saved := make(chan error, 1)
			go func() {
				_, err := store.Registry().Save(t.Context(), next)
				saved <- err
			}()
			require.Eventually(t, func() bool {
				return store.count(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == 1
			}, 20*time.Second, 5*time.Millisecond)
			require.NoError(t, test.end(replacing))
			assert.Equal(t, test.want, <-saved)
		})
	}
}

// What is in the way when a save is tried may have gone when it is looked for.
// Then the save is tried again, and in the end it is decided.
func TestGoingLiveWhileAnotherComesAndGoes(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	records := store.Registry()
	comes, next := keep(t, records, newRecord(1, registry.Live)), keep(t, records, newRecord(2, registry.CaughtUp))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			for _, state := range []registry.State{registry.Replaced, registry.Live} {
				comes.State = state
				saved, err := records.Save(t.Context(), comes)
				if err == nil {
					comes = saved
				} else if !assert.ErrorIs(t, err, registry.ErrLive) {
					return
				}
			}
		}
	}()
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		next.State = registry.Live
		saved, err := records.Save(t.Context(), next)
		if err != nil {
			require.True(t, errors.Is(err, registry.ErrLive) || errors.Is(err, registry.ErrChanged), err)
			continue
		}
		saved.State = registry.CaughtUp
		next = keep(t, records, saved)
	}
	assert.LessOrEqual(t, store.count(t, "SELECT count(*) FROM evident.projections WHERE state = 'live'"), 1)
}

func TestWhoProjectsDecidesAndWhoAppendsDoesNot(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	as := granted(t, config, postgres.CanProject)
	records := open(t, as).Registry()
	saved := keep(t, records, newRecord(1, registry.Building))
	saved.State = registry.Live
	keep(t, records, saved)
	_, err := dial(t, as.URL).Exec(t.Context(), "DELETE FROM evident.projections")
	requireCode(t, "42501", err)

	records = open(t, granted(t, config, postgres.CanAppend)).Registry()
	_, err = records.List(t.Context(), "")
	require.ErrorIs(t, err, postgres.ErrPermission)
}

// Not even a program that knows nothing of the promise makes two versions live.
func TestTheSchemaHoldsOneLiveVersion(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	keep(t, store.Registry(), newRecord(1, registry.Live))
	keep(t, store.Registry(), newRecord(2, registry.CaughtUp))
	_, err := store.Pool().Exec(t.Context(), store.sql("UPDATE evident.projections SET state = 'live'"))
	requireCode(t, "23505", err)
}

func TestPortsOfAClosedStore(t *testing.T) {
	t.Parallel()
	store := open(t, newDatabase(t))
	records, leases, letters := store.Registry(), store.Leases(), store.DeadLetters()
	require.NoError(t, store.Close())
	for name, call := range map[string]func() error{
		"load": func() error { _, err := records.Load(t.Context(), newRecord(1, registry.Live).Name); return err },
		"save": func() error { _, err := records.Save(t.Context(), newRecord(1, registry.Live)); return err },
		"list": func() error { _, err := records.List(t.Context(), ""); return err },
		"renew": func() error {
			_, err := leases.Renew(t.Context(), []lease.Lease{{Name: "a", Owner: "b"}}, 1)
			return err
		},
		"held":  func() error { _, err := leases.List(t.Context(), ""); return err },
		"until": func() error { return letters.ScheduleUntil(t.Context(), dlq.Sequence{}, time.Time{}, 1) },
	} {
		require.ErrorIs(t, call(), eventstore.ErrClosed, name)
	}
}

// Letters that were parked before there was a count of redrives have none.
func TestLettersOfAnOlderSchema(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	execute(t, url, "CREATE SCHEMA evident", "CREATE TABLE evident.migrations (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())")
	steps, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	const before = 7
	for _, step := range steps[:before] {
		script, err := os.ReadFile(filepath.Clean(step))
		require.NoError(t, err)
		execute(t, url, string(script))
	}
	execute(t, url,
		"INSERT INTO evident.migrations (version) SELECT generate_series(1, 7)",
		"INSERT INTO evident.dead_letter_sequences VALUES ('titles', 1, 'a', 'epoch')",
		"INSERT INTO evident.dead_letters VALUES ('titles', 1, 'a', 7, gen_random_uuid(), 'Created', 'broken', 3, 'epoch', NULL)",
		`INSERT INTO evident.discarded_letters (projection, version, sequence_key, position, event_id, event_type, cause, attempts, parked_at, reason, discarded_by, discarded_at)
		 VALUES ('titles', 1, 'a', 5, gen_random_uuid(), 'Created', 'broken', 2, 'epoch', 'test', '', 'epoch')`)
	config := postgres.Config{URL: url, Relaxed: true}
	require.NoError(t, postgres.Migrate(t.Context(), config))

	letters := open(t, config).DeadLetters()
	parked, err := letters.Sequences(t.Context(), dlq.Filter{DueBy: time.Unix(1, 0)})
	require.NoError(t, err)
	require.Len(t, parked, 1)
	assert.Zero(t, parked[0].Until)
	assert.Zero(t, parked[0].First.Redrives)
	assert.Equal(t, 3, parked[0].First.Attempts)
	discarded, err := letters.Discarded(t.Context(), "titles", 1)
	require.NoError(t, err)
	require.Len(t, discarded, 1)
	assert.Equal(t, 2, discarded[0].Letter.Attempts)
	assert.Zero(t, discarded[0].Letter.Redrives)
	require.NoError(t, letters.Failed(t.Context(), parked[0].First, "again", time.Unix(2, 0), time.Time{}))
	again, err := letters.Letters(t.Context(), parked[0].Sequence, 0)
	require.NoError(t, err)
	assert.Equal(t, 1, again[0].Redrives)
}
