package sqlite_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/sqlite"
)

func TestConfigNamesTheFieldAtFault(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]sqlite.Config{
		"path":                 {},
		"synchronous":          {Path: "a.db", Synchronous: 2},
		"busy_timeout":         {Path: "a.db", BusyTimeout: -time.Second},
		"readers":              {Path: "a.db", Readers: -1},
		"poll_interval":        {Path: "a.db", PollInterval: -1},
		"limits.payload_bytes": {Path: "a.db", Limits: eventstore.Limits{PayloadBytes: -1}},
	} {
		var invalid *event.InvalidError
		require.ErrorAs(t, config.Validate(), &invalid, field)
		assert.Equal(t, field, invalid.Field)
		_, err := sqlite.Open(t.Context(), config)
		require.ErrorIs(t, err, event.ErrInvalid)
		require.ErrorIs(t, sqlite.Migrate(t.Context(), config), event.ErrInvalid)
	}
	for _, path := range []string{":memory:", "file:a.db", "a\x00.db"} {
		require.ErrorIs(t, sqlite.Config{Path: path}.Validate(), event.ErrInvalid)
	}
	assert.NoError(t, sqlite.Config{Path: "a.db"}.Validate())
}

func TestPathIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	config := sqlite.Config{Path: t.TempDir() + "/100% of a?b#c d.db", Synchronous: sqlite.SynchronousNormal}
	require.NoError(t, sqlite.Migrate(t.Context(), config))
	require.FileExists(t, config.Path)
	store := open(t, config)
	add(t, store, 1)
	assert.Len(t, readAll(t, store, eventstore.Query{}), 1)
}
