package natstest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
)

func newStream(t *testing.T, js jetstream.JetStream, replicas int) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: replicas})
	require.NoError(t, err)
}

func publish(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := js.Publish(t.Context(), "s.a", []byte("x"))
		return err == nil
	}, patience, tick)
}

func requireMessages(t *testing.T, js jetstream.JetStream, want uint64) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "S")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, stream.CachedInfo().State.Msgs, want)
}

func TestAServerKeepsItsFilesAndItsAddress(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js, url := server.JetStream(t), server.URL()
	newStream(t, js, 1)
	publish(t, js)
	server.Stop()
	server.Stop()
	server.Restart(t)
	assert.Equal(t, url, server.URL())
	publish(t, js)
	requireMessages(t, js, 2)
}

func TestAProcessIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	process := natstest.StartProcess(t)
	js := process.JetStream(t)
	newStream(t, js, 1)
	publish(t, js)
	process.Kill()
	process.Kill()
	process.Restart(t)
	publish(t, js)
	requireMessages(t, js, 2)
}

func TestAClusterChangesItsLeader(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t)
	js := cluster.JetStream(t)
	newStream(t, js, 3)
	publish(t, js)
	before := cluster.AwaitLeader(t, "S")
	cluster.StepDown(t, "S")
	require.Eventually(t, func() bool { l := cluster.Leader("S"); return l != nil && l != before }, patience, tick)
	cluster.AwaitLeader(t, "S").Stop()
	publish(t, js)
	requireMessages(t, js, 2)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, natstest.MaxPayload(1024), natstest.WithoutJetStream())
	js := server.JetStream(t)
	assert.EqualValues(t, 1024, js.Conn().MaxPayload())
	_, err := js.AccountInfo(t.Context())
	assert.Error(t, err)
}

func TestANetworkIsCutAndHealed(t *testing.T) {
	t.Parallel()
	cluster := natstest.StartCluster(t, natstest.SyncAlways(), natstest.WithNetwork())
	newStream(t, cluster.JetStream(t), 3)
	leader := cluster.AwaitLeader(t, "S")
	others := cluster.Others(leader)
	alone := leader.JetStream(t)
	for _, other := range others {
		cluster.Cut(leader, other)
	}
	publish(t, others[0].JetStream(t))
	requireSilence(t, alone)
	cluster.Heal()
	publish(t, alone)
	cluster.Swallow(others[0], others[1])
	cluster.Swallow(leader, others[0])
	requireSilence(t, others[0].JetStream(t))
	cluster.Heal()
	publish(t, others[0].JetStream(t))
}

func requireSilence(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := js.Publish(short, "s.a", []byte("x"))
	require.Error(t, err)
}
