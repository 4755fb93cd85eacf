package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/sqlite"
)

// newRecord is a record that was never saved.
func newRecord(version int, state registry.State) registry.Record {
	return registry.Record{Name: registry.Name{Projection: "titles", Version: version}, State: state, Since: time.Unix(1, 0), Lanes: 1}
}

func TestRegistryIsTheSameForAllProcesses(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	one, other := open(t, config), open(t, config)
	saved, err := one.Registry().Save(t.Context(), newRecord(1, registry.Live))
	require.NoError(t, err)
	found, err := other.Registry().Load(t.Context(), saved.Name)
	require.NoError(t, err)
	assert.Equal(t, saved, found)
	_, err = other.Registry().Save(t.Context(), newRecord(2, registry.Live))
	require.ErrorIs(t, err, registry.ErrLive)
}

// Not even a program that knows nothing of the promise makes two versions live.
func TestTheFileHoldsOneLiveVersion(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	for version, state := range map[int]registry.State{1: registry.Live, 2: registry.CaughtUp} {
		_, err := store.Registry().Save(t.Context(), newRecord(version, state))
		require.NoError(t, err)
	}
	_, err := raw(t, config.Path).ExecContext(t.Context(), "UPDATE projections SET state = 'live'")
	require.ErrorContains(t, err, "UNIQUE")
}

func TestPortsOfAClosedStore(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), newFile(t))
	require.NoError(t, err)
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
func TestLettersOfAnOlderFile(t *testing.T) {
	t.Parallel()
	older := sqlite.Config{Path: filepath.Join(t.TempDir(), "older.db")}
	db := raw(t, older.Path)
	steps, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	const before = 5
	for _, step := range steps[:before] {
		script, err := os.ReadFile(filepath.Clean(step))
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), string(script))
		require.NoError(t, err, step)
	}
	_, err = db.ExecContext(t.Context(), fmt.Sprintf(`
		INSERT INTO meta VALUES (1, x'00112233445566778899aabbccddeeff');
		INSERT INTO dead_letter_sequences VALUES ('titles', 1, 'a', 1000000);
		INSERT INTO dead_letters VALUES ('titles', 1, 'a', 7, x'00112233445566778899aabbccddeeff', 'Created', 'broken', 3, 1000000, NULL);
		INSERT INTO discarded_letters VALUES (1, 'titles', 1, 'a', 5, x'00112233445566778899aabbccddeeff', 'Created', 'broken', 2, 1000000, NULL, 'test', '', 2000000);
		PRAGMA application_id = 0x65766964; PRAGMA user_version = %d`, before))
	require.NoError(t, err)
	require.NoError(t, sqlite.Migrate(t.Context(), older))

	letters := open(t, older).DeadLetters()
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
