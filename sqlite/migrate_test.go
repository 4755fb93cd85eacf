package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/golden"
	"github.com/evident-go/evident/sqlite"
)

// schemaOf returns everything that a file defines.
func schemaOf(tb testing.TB, db *sql.DB) string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name")
	require.NoError(tb, err)
	defer func() { require.NoError(tb, rows.Close()) }()
	var all []string
	for rows.Next() {
		var statement string
		require.NoError(tb, rows.Scan(&statement))
		all = append(all, statement+";\n")
	}
	require.NoError(tb, rows.Err())
	return strings.Join(all, "\n")
}

func TestSchemaIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, raw(t, newFile(t).Path))
	golden.Compare(t, []byte(schema), "testdata/schema.sql")
}

func TestOwnTablesAreThoseOfTheSchema(t *testing.T) {
	t.Parallel()
	var names []string
	for _, match := range regexp.MustCompile(`CREATE TABLE (\w+)`).FindAllStringSubmatch(schemaOf(t, raw(t, newFile(t).Path)), -1) {
		if match[1] != "sqlite_sequence" {
			names = append(names, match[1])
		}
	}
	own := slices.Sorted(slices.Values(sqlite.OwnTables()))
	slices.Sort(names)
	assert.Equal(t, names, own)
}

func TestMigrateTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store := open(t, config)
	add(t, store, 3)
	schema, id := schemaOf(t, store.DB()), store.ID()

	require.NoError(t, sqlite.Migrate(t.Context(), config))
	assert.Equal(t, schema, schemaOf(t, store.DB()))
	again := open(t, config)
	assert.Equal(t, id, again.ID())
	assert.Len(t, readAll(t, again, eventstore.Query{}), 3)
}

// A process that appends without a pause leaves no room for a lock that nobody
// needs.
func TestMigrateOfACurrentFileNeedsNoLock(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.BusyTimeout = time.Millisecond
	other, err := raw(t, config.Path).Conn(t.Context())
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	require.NoError(t, sqlite.Migrate(t.Context(), config))
	_, err = other.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, other.Close())
}

func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	config := sqlite.Config{Path: filepath.Join(t.TempDir(), "events.db")}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() { assert.NoError(t, sqlite.Migrate(t.Context(), config)) })
	}
	all.Wait()
	add(t, open(t, config), 1)
}

func TestMigrateGoesOnFromAnOlderSchema(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	want := schemaOf(t, raw(t, config.Path))
	steps, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	require.Greater(t, len(steps), 2)

	older := sqlite.Config{Path: filepath.Join(t.TempDir(), "older.db")}
	db := raw(t, older.Path)
	first, err := os.ReadFile(steps[0])
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), string(first)+`
		INSERT INTO meta VALUES (1, x'00112233445566778899aabbccddeeff');
		PRAGMA application_id = 0x65766964; PRAGMA user_version = 1`)
	require.NoError(t, err)
	_, err = sqlite.Open(t.Context(), older)
	require.ErrorIs(t, err, eventstore.ErrSchema)

	require.NoError(t, sqlite.Migrate(t.Context(), older))
	assert.Equal(t, want, schemaOf(t, db))
	assert.Equal(t, "00112233-4455-6677-8899-aabbccddeeff", open(t, older).ID().String(), "the store keeps its id")
}

func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  error
	}{
		"newer schema":            {execute("PRAGMA user_version = 99"), eventstore.ErrSchema},
		"another program's file":  {execute("PRAGMA application_id = 7"), event.ErrInvalid},
		"a file without an owner": {execute("PRAGMA application_id = 0"), event.ErrInvalid},
		"not a database":          {overwrite(0, "This is a letter to a friend, and no database at all."), eventstore.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newFile(t)
			test.spoil(t, config.Path)
			require.ErrorIs(t, sqlite.Migrate(t.Context(), config), test.want)
		})
	}
}

func TestMigrateWaitsForOthersAndGivesUp(t *testing.T) {
	t.Parallel()
	config := sqlite.Config{Path: filepath.Join(t.TempDir(), "events.db"), BusyTimeout: 1}
	blocked := raw(t, config.Path)
	blocked.SetMaxOpenConns(1)
	_, err := blocked.ExecContext(t.Context(), "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE")
	require.NoError(t, err)
	require.ErrorIs(t, sqlite.Migrate(t.Context(), config), eventstore.ErrUnavailable)
	_, err = blocked.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, sqlite.Migrate(t.Context(), config))
}
