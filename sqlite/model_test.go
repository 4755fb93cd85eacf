package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/sqlite"
)

// Nobody cuts the power here: to wait for the disk would only take time.
func TestModel(t *testing.T) {
	t.Parallel()
	projectiontest.Play(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		config := sqlite.Config{Path: filepath.Join(t.TempDir(), "events.db"), Synchronous: sqlite.SynchronousNormal}
		require.NoError(t, sqlite.Migrate(t.Context(), config))
		store := open(t, config)
		return projectiontest.Harness{
			Store: store,
			NewLedger: func(_ projectiontest.T, name string, hook projectiontest.Hook) projectiontest.Ledger {
				return newLedger(store, name, hook)
			},
			NewBatchLedger: func(_ projectiontest.T, name string, hook projectiontest.BatchHook) projectiontest.Ledger {
				return newBatchLedger(store, name, hook)
			},
		}
	})
}
