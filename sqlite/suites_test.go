package sqlite_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/aggregate/snapshottest"
	"github.com/evident-go/evident/checkpoint/checkpointtest"
	"github.com/evident-go/evident/dlq/dlqtest"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/lease/leasetest"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/registry/registrytest"
	"github.com/evident-go/evident/sqlite"
)

func TestConformanceEventStore(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstore.Store { t.Helper(); return newStore(t) }, second())
}

// second opens the file of a store once more, with connections of its own, as
// another process would.
func second() eventstoretest.Option {
	return eventstoretest.Second(func(t *testing.T, store eventstore.Store) eventstore.Store {
		t.Helper()
		first, ok := store.(*sqlite.Store)
		require.True(t, ok)
		return open(t, sqlite.Config{Path: fileOf(t, first)})
	})
}

// fileOf returns the path of a store's file.
func fileOf(t *testing.T, store *sqlite.Store) (path string) {
	t.Helper()
	require.NoError(t, store.DB().QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path))
	return path
}

func TestConformanceCheckpoints(t *testing.T) {
	t.Parallel()
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		store := newStore(t)
		return checkpointtest.Harness{Store: store.Checkpoints(), InTx: projectiontest.InTx(store, projection.Tx.Checkpoints)}
	})
}

func TestConformanceDeadLetters(t *testing.T) {
	t.Parallel()
	dlqtest.Run(t, func(t *testing.T) dlqtest.Harness {
		t.Helper()
		store := newStore(t)
		return dlqtest.Harness{Store: store.DeadLetters(), InTx: projectiontest.InTx(store, projection.Tx.DeadLetters)}
	})
}

// leases is a lease store that can be opened anew.
type leases struct {
	lease.Store

	reopen func() (lease.Store, error)
}

func (l leases) Reopen() (lease.Store, error) { return l.reopen() }

func TestConformanceLeases(t *testing.T) {
	t.Parallel()
	leasetest.Run(t, func(t *testing.T, now func() time.Time) lease.Store {
		t.Helper()
		config := newFile(t)
		config.Now = now
		return leases{Store: open(t, config).Leases(), reopen: func() (lease.Store, error) { return open(t, config).Leases(), nil }}
	})
}

func TestConformanceRegistry(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, func(t *testing.T) registrytest.Harness {
		t.Helper()
		store := newStore(t)
		return registrytest.Harness{Store: store.Registry(), InTx: projectiontest.InTx(store, records(t))}
	})
}

// records returns what finds the records of a transaction.
func records(t *testing.T) func(tx projection.Tx) registry.Store {
	t.Helper()
	return func(tx projection.Tx) registry.Store {
		bound, ok := tx.(interface{ Registry() registry.Store })
		assert.True(t, ok)
		return bound.Registry()
	}
}

func TestConformanceSnapshots(t *testing.T) {
	t.Parallel()
	snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore { t.Helper(); return newStore(t).Snapshots() })
}

func TestConformanceImporter(t *testing.T) {
	t.Parallel()
	eventstoretest.RunImporter(t, func(t *testing.T) eventstore.Store { t.Helper(); return newStore(t) })
}
