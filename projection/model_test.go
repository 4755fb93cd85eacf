package projection_test

import (
	"testing"

	"github.com/evident-go/evident/projection/projectiontest"
)

func TestModel(t *testing.T) {
	t.Parallel()
	projectiontest.Play(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		store := openMemory(t)
		table := newRows(store)
		return projectiontest.Harness{Store: store, Progress: table, NewLedger: table.newLedger, NewBatchLedger: table.newBatchLedger}
	})
}
