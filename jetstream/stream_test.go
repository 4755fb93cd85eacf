package jetstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

func TestProvisioningMakesAStreamThatKeepsEverything(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	require.NoError(t, jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{}))
	require.NoError(t, jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{}), "again")
	s, err := js.Stream(t.Context(), "AUDIT")
	require.NoError(t, err)
	have := s.CachedInfo().Config
	assert.Equal(t, []string{"audit.v1.>"}, have.Subjects)
	assert.Equal(t, natsjs.FileStorage, have.Storage)
	assert.Equal(t, time.Hour, have.Duplicates)
	assert.True(t, have.DenyDelete && have.DenyPurge)
	require.Error(t, s.Purge(t.Context()))
	require.Error(t, s.DeleteMsg(t.Context(), 1))
}

func TestAStreamThatCouldLoseMessagesIsRefused(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	good := natsjs.StreamConfig{
		Name: "AUDIT", Subjects: []string{"audit.>"}, Storage: natsjs.FileStorage, Replicas: 1, Duplicates: 2 * time.Hour,
		DenyDelete: true, DenyPurge: true,
	}
	for setting, changes := range map[string][]func(*natsjs.StreamConfig){
		"": {
			func(*natsjs.StreamConfig) {},
			func(c *natsjs.StreamConfig) { c.MaxMsgs, c.Discard = 10, natsjs.DiscardNew },
			func(c *natsjs.StreamConfig) { c.Subjects = []string{"x", "audit.*.>"} },
			func(c *natsjs.StreamConfig) { c.Compression = natsjs.S2Compression },
		},
		"storage":              {func(c *natsjs.StreamConfig) { c.Storage = natsjs.MemoryStorage }},
		"persist_mode":         {func(c *natsjs.StreamConfig) { c.PersistMode = natsjs.AsyncPersistMode }},
		"no_ack":               {func(c *natsjs.StreamConfig) { c.NoAck = true }},
		"retention":            {func(c *natsjs.StreamConfig) { c.Retention = natsjs.InterestPolicy }, func(c *natsjs.StreamConfig) { c.Retention = natsjs.WorkQueuePolicy }},
		"max_age":              {func(c *natsjs.StreamConfig) { c.MaxAge = 24 * time.Hour }},
		"discard":              {func(c *natsjs.StreamConfig) { c.MaxMsgs = 10 }, func(c *natsjs.StreamConfig) { c.MaxBytes = 1 << 20 }},
		"max_msgs_per_subject": {func(c *natsjs.StreamConfig) { c.MaxMsgsPerSubject = 5 }},
		"deny_delete":          {func(c *natsjs.StreamConfig) { c.DenyDelete = false }},
		"deny_purge":           {func(c *natsjs.StreamConfig) { c.DenyPurge = false }, func(c *natsjs.StreamConfig) { c.DenyPurge, c.AllowRollup = false, true }},
		"allow_msg_ttl":        {func(c *natsjs.StreamConfig) { c.AllowMsgTTL = true }},
		"duplicate_window":     {func(c *natsjs.StreamConfig) { c.Duplicates = time.Minute }},
		"subjects": {
			func(c *natsjs.StreamConfig) { c.Subjects = []string{"audit.v1.*"} }, func(c *natsjs.StreamConfig) { c.Subjects = []string{"audit.v1.acme.>"} },
			func(c *natsjs.StreamConfig) { c.Subjects = []string{"audit.v2.>"} },
		},
		"subject_transform": {func(c *natsjs.StreamConfig) {
			c.SubjectTransform = &natsjs.SubjectTransformConfig{Source: "audit.>", Destination: "other.>"}
		}},
		"allow_msg_counter": {func(c *natsjs.StreamConfig) { c.AllowMsgCounter = true }},
	} {
		for _, change := range changes {
			config := good
			change(&config)
			createNext(t, js, config)
			requireSetting(t, setting, jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{}))
			publisher := newPublisher(t, js, jetstream.PublisherConfig{})
			requireSetting(t, setting, publisher.Check(t.Context()))
			require.NoError(t, js.DeleteStream(t.Context(), "AUDIT"))
		}
	}
}

// createNext creates a stream after another one was deleted, whose directory the
// server may still be removing: then it cannot make the files of the next.
func createNext(t *testing.T, js natsjs.JetStream, config natsjs.StreamConfig) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := js.CreateStream(t.Context(), config)
		if answer, ok := errors.AsType[*natsjs.APIError](err); ok {
			require.Equal(t, 500, answer.Code, "%v", err)
			return false
		}
		require.NoError(t, err)
		return true
	}, patience, tick)
}

func requireSetting(t *testing.T, setting string, err error) {
	t.Helper()
	if setting == "" {
		require.NoError(t, err)
		return
	}
	var wrong *jetstream.StreamError
	require.ErrorAs(t, err, &wrong, setting)
	assert.Equal(t, setting, wrong.Setting)
	require.ErrorIs(t, err, jetstream.ErrStream)
	require.ErrorContains(t, err, "setting "+setting)
	assert.False(t, jetstream.IsRetryable(err))
}

func TestAStreamThatForgetsOnPurpose(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	day := jetstream.PublisherConfig{MaxAge: 24 * time.Hour}
	require.NoError(t, jetstream.ProvisionStream(t.Context(), js, day))
	require.NoError(t, jetstream.ProvisionStream(t.Context(), js, day))
	week := jetstream.PublisherConfig{MaxAge: 7 * 24 * time.Hour}
	requireSetting(t, "max_age", jetstream.ProvisionStream(t.Context(), js, week))
}

func TestWhatTheServerRefusesIsNamed(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	requireSetting(t, "num_replicas", jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{Replicas: 3}))
	requireSetting(t, "name", newPublisher(t, js, jetstream.PublisherConfig{}).Check(t.Context()))
	_, err := js.CreateStream(t.Context(), natsjs.StreamConfig{Name: "OTHER", Subjects: []string{"audit.v1.acme.>"}})
	require.NoError(t, err)
	requireSetting(t, "subjects", jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{}))
	without := natstest.Start(t, natstest.WithoutJetStream()).JetStream(t)
	err = jetstream.ProvisionStream(t.Context(), without, quick())
	assert.True(t, jetstream.IsRetryable(err), "nobody answers, which may be a cluster without a leader: %v", err)
}

func TestASealedStreamAndAMirror(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	require.NoError(t, jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{Stream: "A"}))
	s, err := js.Stream(t.Context(), "A")
	require.NoError(t, err)
	sealed := s.CachedInfo().Config
	sealed.Sealed = true
	_, err = js.UpdateStream(t.Context(), sealed)
	require.NoError(t, err)
	requireSetting(t, "sealed", jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{Stream: "A"}))
	_, err = js.CreateStream(t.Context(), natsjs.StreamConfig{
		Name: "M", Mirror: &natsjs.StreamSource{Name: "A"}, Duplicates: 0, DenyDelete: true, DenyPurge: true,
	})
	require.NoError(t, err)
	err = jetstream.ProvisionStream(t.Context(), js, jetstream.PublisherConfig{Stream: "M"})
	require.ErrorIs(t, err, jetstream.ErrStream)
}

func TestNATSDownIsTypedAndRetryable(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js := server.JetStream(t)
	server.Stop()
	require.Eventually(t, func() bool { return !js.Conn().IsConnected() }, patience, tick)
	err := jetstream.ProvisionStream(t.Context(), js, quick())
	require.ErrorIs(t, err, jetstream.ErrUnavailable)
	require.ErrorIs(t, err, nats.ErrDisconnected)
	assert.True(t, jetstream.IsRetryable(err))
	server.Restart(t)
	provisioned(t, js, quick())

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, jetstream.ProvisionStream(ended, js, quick()), context.Canceled)
}
