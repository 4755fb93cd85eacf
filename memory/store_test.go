package memory_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/memory"
)

func open(t *testing.T) eventstore.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestConformanceEventStore(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, open)
}

func TestConformanceBoundEventStore(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstore.Store {
		t.Helper()
		return eventstore.BindTenant(open(t), "acme")
	}, eventstoretest.Bound("acme"))
}

func TestConformanceWithoutFaults(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstore.Store {
		t.Helper()
		return eventstoretest.NewFaults(open(t))
	})
}

func TestConformanceImporter(t *testing.T) {
	t.Parallel()
	eventstoretest.RunImporter(t, open)
}
