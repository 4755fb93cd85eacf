package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

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
)

// What is done in transactions is done by another process.
func TestConformanceCheckpoints(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		home := shared.home(t)
		return checkpointtest.Harness{Store: home.Checkpoints(), InTx: projectiontest.InTx(home.again(t), projection.Tx.Checkpoints)}
	})
}

func TestConformanceDeadLetters(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	dlqtest.Run(t, func(t *testing.T) dlqtest.Harness {
		t.Helper()
		home := shared.home(t)
		return dlqtest.Harness{Store: home.DeadLetters(), InTx: projectiontest.InTx(home.again(t), projection.Tx.DeadLetters)}
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
	shared := newSharedDatabase(t)
	leasetest.Run(t, func(t *testing.T, now func() time.Time) lease.Store {
		t.Helper()
		config := shared.config(t)
		config.Now = now
		return leases{Store: open(t, config).Leases(), reopen: func() (lease.Store, error) { return open(t, config).Leases(), nil }}
	})
}

func TestConformanceRegistry(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	registrytest.Run(t, func(t *testing.T) registrytest.Harness {
		t.Helper()
		home := shared.home(t)
		return registrytest.Harness{Store: home.Registry(), InTx: projectiontest.InTx(home.again(t), records(t))}
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
	shared := newSharedDatabase(t)
	snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore {
		t.Helper()
		return shared.home(t).Snapshots()
	})
}

func TestConformanceImporter(t *testing.T) {
	t.Parallel()
	eventstoretest.RunImporter(t, func(t *testing.T) eventstore.Store { t.Helper(); return newStore(t) })
}
