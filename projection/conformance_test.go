package projection_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection/projectiontest"
)

func TestConformanceAtLeastOnce(t *testing.T) {
	t.Parallel()
	projectiontest.Run(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		return projectiontest.Harness{Store: openMemory(t)}
	})
}

func TestConformanceExactlyOnce(t *testing.T) {
	t.Parallel()
	projectiontest.Run(t, func(t *testing.T) projectiontest.Harness {
		t.Helper()
		store := openMemory(t)
		table := newRows(store)
		return projectiontest.Harness{Store: store, Progress: table, NewLedger: table.newLedger, NewBatchLedger: table.newBatchLedger}
	})
}

func openMemory(t *testing.T) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}
