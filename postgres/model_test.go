package postgres_test

import (
	"testing"

	"github.com/evident-go/evident/projection/projectiontest"
)

// The schemas of a game are dropped when it is over: a catalogue with those of
// thousands of games would be slow.
func TestModel(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	projectiontest.Play(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		store := shared.home(t)
		t.Cleanup(func() {
			execute(t, shared.url, "DROP SCHEMA "+store.config.Schema+" CASCADE", "DROP SCHEMA "+store.Pool().Config().ConnConfig.RuntimeParams["search_path"]+" CASCADE")
		})
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
