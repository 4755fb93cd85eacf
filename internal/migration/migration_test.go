package migration_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/migration"
)

func files(names ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for _, name := range names {
		all["migrations/"+name] = &fstest.MapFile{Data: []byte("-- " + name)}
	}
	return all
}

func TestSteps(t *testing.T) {
	t.Parallel()
	steps, err := migration.Steps(files("0002_more.sql", "0001_events.sql", "README"))
	require.NoError(t, err)
	require.Equal(t, []migration.Step{{Version: 1, Script: "-- 0001_events.sql"}, {Version: 2, Script: "-- 0002_more.sql"}}, steps)
	for _, names := range [][]string{{"0002_more.sql"}, {"0001_a.sql", "0003_b.sql"}, {"0001_a.sql", "0001_b.sql"}, {"events.sql"}} {
		_, err := migration.Steps(files(names...))
		require.ErrorIs(t, err, event.ErrDefinition, names)
	}
}
