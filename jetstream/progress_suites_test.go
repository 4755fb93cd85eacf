package jetstream_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/aggregate/snapshottest"
	"github.com/evident-go/evident/checkpoint/checkpointtest"
	"github.com/evident-go/evident/dlq/dlqtest"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/lease/leasetest"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
	"github.com/evident-go/evident/registry/registrytest"
)

// house is a server, or a cluster, with room for many stores.
type house struct {
	replicas int
	connect  func(tb testing.TB) natsjs.JetStream
	stores   atomic.Int64
}

func oneServer(tb testing.TB) *house {
	tb.Helper()
	server := natstest.StartProcess(tb)
	return &house{replicas: 1, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return server.JetStream(tb) }}
}

func threeServers(tb testing.TB) *house {
	tb.Helper()
	cluster := natstest.StartCluster(tb)
	return &house{replicas: 3, connect: func(tb testing.TB) natsjs.JetStream { tb.Helper(); return cluster.JetStream(tb) }}
}

// config describes a store that nobody else has.
func (h *house) config(now func() time.Time) jetstream.ProgressConfig {
	return jetstream.ProgressConfig{Prefix: fmt.Sprintf("test.n%d", h.stores.Add(1)), Replicas: h.replicas, Now: now}
}

// open opens progress of which nothing is there yet.
func (h *house) open(tb testing.TB, now func() time.Time) jetstream.Progress {
	tb.Helper()
	return h.reopen(tb, h.config(now))
}

// reopen opens progress over a connection of its own.
func (h *house) reopen(tb testing.TB, config jetstream.ProgressConfig) jetstream.Progress {
	tb.Helper()
	js := h.connect(tb)
	require.Eventually(tb, func() bool {
		err := jetstream.ProvisionProgress(tb.Context(), js, config)
		if err != nil {
			require.True(tb, jetstream.IsRetryable(err), "%v", err)
		}
		return err == nil
	}, patience, tick)
	p, err := jetstream.OpenProgress(tb.Context(), js, config)
	require.NoError(tb, err)
	return p
}

func (h *house) checkpoints(t *testing.T) {
	t.Helper()
	checkpointtest.Run(t, func(t *testing.T) checkpointtest.Harness {
		t.Helper()
		p := h.open(t, nil)
		return checkpointtest.Harness{Store: p.Checkpoints(), InTx: projectiontest.InTx(p, projection.Tx.Checkpoints)}
	})
}

func (h *house) deadLetters(t *testing.T) {
	t.Helper()
	dlqtest.Run(t, func(t *testing.T) dlqtest.Harness {
		t.Helper()
		p := h.open(t, nil)
		return dlqtest.Harness{Store: p.DeadLetters(), InTx: projectiontest.InTx(p, projection.Tx.DeadLetters)}
	})
}

func (h *house) registry(t *testing.T) {
	t.Helper()
	registrytest.Run(t, func(t *testing.T) registrytest.Harness {
		t.Helper()
		p := h.open(t, nil)
		return registrytest.Harness{Store: p.Registry(), InTx: projectiontest.InTx(p, projection.Tx.Registry)}
	})
}

// lasting are leases that can be opened anew.
type lasting struct {
	lease.Store

	reopen func() (lease.Store, error)
}

func (l lasting) Reopen() (lease.Store, error) { return l.reopen() }

func (h *house) leases(t *testing.T) {
	t.Helper()
	leasetest.Run(t, func(t *testing.T, now func() time.Time) lease.Store {
		t.Helper()
		config := h.config(now)
		return lasting{Store: h.reopen(t, config).Leases(), reopen: func() (lease.Store, error) { return h.reopen(t, config).Leases(), nil }}
	})
}

func (h *house) snapshots(t *testing.T) {
	t.Helper()
	snapshottest.Run(t, func(t *testing.T) aggregate.SnapshotStore { t.Helper(); return h.open(t, nil).Snapshots() })
}

func (h *house) projections(t *testing.T) projectiontest.Harness {
	t.Helper()
	return projectiontest.Harness{Store: newEvents(t, h.connect(t), jetstream.Config{Replicas: h.replicas})}
}

func TestConformanceCheckpoints(t *testing.T) { t.Parallel(); oneServer(t).checkpoints(t) }
func TestConformanceDeadLetters(t *testing.T) { t.Parallel(); oneServer(t).deadLetters(t) }
func TestConformanceLeases(t *testing.T)      { t.Parallel(); oneServer(t).leases(t) }
func TestConformanceRegistry(t *testing.T)    { t.Parallel(); oneServer(t).registry(t) }
func TestConformanceSnapshots(t *testing.T)   { t.Parallel(); oneServer(t).snapshots(t) }

func TestConformanceProjections(t *testing.T) {
	t.Parallel()
	projectiontest.Run(t, oneServer(t).projections)
}

func TestConformanceProjectionsOnReplicas(t *testing.T) {
	t.Parallel()
	projectiontest.Run(t, threeServers(t).projections)
}

// On replicas the server answers differently: it decides before the replicas
// agree, and others than the leader may be asked.
func TestConformanceOnReplicas(t *testing.T) {
	t.Parallel()
	h := threeServers(t)
	for name, suite := range map[string]func(t *testing.T){
		"checkpoints": h.checkpoints, "dead letters": h.deadLetters, "leases": h.leases, "registry": h.registry, "snapshots": h.snapshots,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { t.Parallel(); suite(t) })
	}
}

// The model is played on replicas, where a transaction of several keys takes less
// time than on a server that is alone: that one writes it to the disk first. Even
// so a step takes longer than on a database: there are fewer.
func TestModel(t *testing.T) {
	t.Parallel()
	projectiontest.PlaySteps(t, 1_000, threeServers(t).projections)
}
