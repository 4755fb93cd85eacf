package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// sentinelOf names what an error matches.
func sentinelOf(err error) string {
	for _, sentinel := range []error{
		eventstore.ErrCorrupt, eventstore.ErrReadOnly, eventstore.ErrFull, eventstore.ErrUnavailable, eventstore.ErrSchema, eventstore.ErrInvalid,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func TestCodesMeanSentinels(t *testing.T) {
	t.Parallel()
	for code, meaning := range map[int]error{
		sqlite3.SQLITE_CORRUPT:            eventstore.ErrCorrupt,
		sqlite3.SQLITE_CORRUPT_INDEX:      eventstore.ErrCorrupt,
		sqlite3.SQLITE_NOTADB:             eventstore.ErrCorrupt,
		sqlite3.SQLITE_IOERR_CORRUPTFS:    eventstore.ErrCorrupt,
		sqlite3.SQLITE_READONLY:           eventstore.ErrReadOnly,
		sqlite3.SQLITE_READONLY_DIRECTORY: eventstore.ErrReadOnly,
		sqlite3.SQLITE_PERM:               eventstore.ErrReadOnly,
		sqlite3.SQLITE_FULL:               eventstore.ErrFull,
		sqlite3.SQLITE_BUSY:               eventstore.ErrUnavailable,
		sqlite3.SQLITE_BUSY_SNAPSHOT:      eventstore.ErrUnavailable,
		sqlite3.SQLITE_LOCKED:             eventstore.ErrUnavailable,
		sqlite3.SQLITE_IOERR_FSYNC:        eventstore.ErrUnavailable,
		sqlite3.SQLITE_CANTOPEN:           eventstore.ErrUnavailable,
		sqlite3.SQLITE_NOMEM:              eventstore.ErrUnavailable,
		sqlite3.SQLITE_PROTOCOL:           eventstore.ErrUnavailable,
		sqlite3.SQLITE_CONSTRAINT:         nil,
		sqlite3.SQLITE_ERROR:              nil,
		0:                                 nil,
	} {
		assert.Equal(t, meaning, sqlite.MeaningOf(code), "code %d", code)
		err := &sqlite.Error{Op: "append", Path: "a.db", Code: code, Err: errors.New("cause")}
		assert.Equal(t, meaning != nil, meaning != nil && errors.Is(err, meaning))
		require.NotErrorIs(t, err, eventstore.ErrClosed)
		assert.Equal(t, "append: a.db: cause", err.Error())
	}
}

func TestOpenRefusesWhatIsNoStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  error
		have  int // for ErrSchema
	}{
		"missing file":      {func(t *testing.T, path string) { t.Helper(); require.NoError(t, os.Remove(path)) }, eventstore.ErrSchema, 0},
		"empty file":        {func(t *testing.T, path string) { t.Helper(); require.NoError(t, os.Truncate(path, 0)) }, eventstore.ErrSchema, 0},
		"not a database":    {overwrite(0, "This is a letter to a friend, and no database at all."), eventstore.ErrCorrupt, 0},
		"truncated file":    {func(t *testing.T, path string) { t.Helper(); require.NoError(t, os.Truncate(path, 9000)) }, eventstore.ErrCorrupt, 0},
		"damaged schema":    {overwrite(100, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), eventstore.ErrCorrupt, 0},
		"unwritable format": {overwrite(18, "\x03"), eventstore.ErrReadOnly, 0},
		"newer schema":      {execute("PRAGMA user_version = 99"), eventstore.ErrSchema, 99},
		"older schema":      {execute("PRAGMA user_version = 1"), eventstore.ErrSchema, 1},
		"other program's":   {execute("PRAGMA application_id = 7"), eventstore.ErrInvalid, 0},
		"lost its id":       {execute("DELETE FROM meta"), eventstore.ErrCorrupt, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newFile(t)
			test.spoil(t, config.Path)
			store, err := sqlite.Open(t.Context(), config)
			require.ErrorIs(t, err, test.want)
			assert.Nil(t, store)
			require.ErrorContains(t, err, config.Path)
			var schema *eventstore.SchemaError
			if test.have > 0 {
				require.ErrorAs(t, err, &schema)
				assert.Equal(t, test.have, schema.Have)
			}
		})
	}
}

func overwrite(offset int64, with string) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte(with), offset)
		require.NoError(t, errors.Join(err, f.Close()))
	}
}

func execute(statement string) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), statement)
		require.NoError(t, errors.Join(err, db.Close()))
	}
}

func TestOpenInAFolderThatIsAFile(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.Path = filepath.Join(config.Path, "events.db")
	_, err := sqlite.Open(t.Context(), config)
	var failed *sqlite.Error
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "open", failed.Op)
	assert.Zero(t, failed.Code)

	for name, path := range map[string]string{
		"in a file":           config.Path,
		"in a missing folder": filepath.Join(t.TempDir(), "missing", "events.db"),
		"a folder":            t.TempDir(),
	} {
		err = sqlite.Migrate(t.Context(), sqlite.Config{Path: path})
		var invalid *event.InvalidError
		require.ErrorAs(t, err, &invalid, name)
		assert.Equal(t, "path", invalid.Field)
	}
}

func TestDamagedPageIsCorruption(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	store, err := sqlite.Open(t.Context(), config)
	require.NoError(t, err)
	for range 20 {
		add(t, store, 20)
	}
	require.NoError(t, store.Close())
	info, err := os.Stat(config.Path)
	require.NoError(t, err)
	for page := info.Size()/4096 - 20; page < info.Size()/4096; page++ {
		overwrite(page*4096, string(make([]byte, 2048)))(t, config.Path)
	}

	store = open(t, config)
	var last error
	for _, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
		last = err
	}
	require.ErrorIs(t, last, eventstore.ErrCorrupt)
}

func TestForeignValuesAreCorruption(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"id of another length": "event_id = x'01'",
		"metadata not JSON":    "metadata = '{'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := newFile(t)
			store := open(t, config)
			add(t, store, 1)
			_, err := raw(t, config.Path).ExecContext(t.Context(), "DROP TRIGGER events_are_not_updated; UPDATE events SET "+change)
			require.NoError(t, err)
			for _, err := range store.ReadAll(t.Context(), eventstore.Query{}) {
				require.ErrorIs(t, err, eventstore.ErrCorrupt)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	before := add(t, store, 1)
	limited(t, store)
	big := newEvents(1)
	big[0].Data = make([]byte, 500_000)
	_, err := store.Append(t.Context(), eventstore.Append{Stream: newStream(), Events: big})
	require.ErrorIs(t, err, eventstore.ErrFull)
	assert.True(t, eventstore.IsRetryable(err))
	var failed *sqlite.Error
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "append", failed.Op)
	assert.Equal(t, sqlite3.SQLITE_FULL, failed.Code)

	assert.Equal(t, before.Position+1, add(t, store, 1).Position, "nothing was stored, and no position burnt")
}

// limited lets the store's file grow no further than a few pages.
func limited(t *testing.T, store *sqlite.Store) {
	t.Helper()
	tx, err := store.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.(*sqlite.Tx).SQL().ExecContext(t.Context(), "PRAGMA max_page_count = 60")
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
}

func TestClassify(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	db := raw(t, filepath.Join(t.TempDir(), "other.db"))
	exec := func(statement string) error {
		_, err := db.ExecContext(t.Context(), statement)
		return err
	}
	require.NoError(t, exec("CREATE TABLE strict (n INTEGER PRIMARY KEY) STRICT; INSERT INTO strict VALUES (1)"))

	class, known := store.Classify(exec("INSERT INTO strict VALUES (1)"))
	assert.True(t, known)
	assert.Equal(t, projection.Poison, class)
	class, known = store.Classify(&sqlite.Error{Err: exec("PRAGMA query_only = 1; INSERT INTO strict VALUES (2)")})
	assert.True(t, known)
	assert.Equal(t, projection.Infrastructure, class)
	_, known = store.Classify(exec("no SQL"))
	assert.False(t, known)
	_, known = store.Classify(event.ErrDecode)
	assert.False(t, known)
}
