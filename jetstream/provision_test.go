package jetstream_test

import (
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/jetstream"
)

func TestProvisioningAStoreMakesAStreamThatKeepsEverything(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	errs := promisetest.Race(8, func(int) error { return jetstream.Provision(t.Context(), js, jetstream.Config{}) })
	for _, err := range errs {
		require.NoError(t, err)
	}
	s, err := js.Stream(t.Context(), "EVIDENT")
	require.NoError(t, err)
	have := s.CachedInfo().Config
	assert.Equal(t, []string{"evident.e.>"}, have.Subjects)
	assert.Equal(t, natsjs.FileStorage, have.Storage)
	assert.True(t, have.DenyDelete && have.DenyPurge && have.AllowAtomicPublish && have.AllowDirect)
	first, second := openEvents(t, js, jetstream.Config{}), openEvents(t, js, jetstream.Config{})
	assert.Equal(t, first.ID(), second.ID())
	other := newEvents(t, js, jetstream.Config{Prefix: "other.v1"})
	assert.NotEqual(t, first.ID(), other.ID())
	_, err = js.Stream(t.Context(), "OTHER_V1")
	require.NoError(t, err)
}

func TestAStoreThatCouldLoseEventsIsNotOpened(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	good := natsjs.StreamConfig{
		Name: "EVIDENT", Subjects: []string{"evident.e.>"}, Storage: natsjs.FileStorage, Replicas: 1, Duplicates: time.Hour,
		DenyDelete: true, DenyPurge: true, AllowDirect: true, AllowAtomicPublish: true,
		Metadata: map[string]string{"evident-store-id": id(1).String()},
	}
	for setting, change := range map[string]func(*natsjs.StreamConfig){
		"":                     func(*natsjs.StreamConfig) {},
		"storage":              func(c *natsjs.StreamConfig) { c.Storage = natsjs.MemoryStorage },
		"retention":            func(c *natsjs.StreamConfig) { c.Retention = natsjs.InterestPolicy },
		"max_age":              func(c *natsjs.StreamConfig) { c.MaxAge = 24 * time.Hour },
		"discard":              func(c *natsjs.StreamConfig) { c.MaxMsgs = 10 },
		"max_msgs_per_subject": func(c *natsjs.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"deny_delete":          func(c *natsjs.StreamConfig) { c.DenyDelete = false },
		"deny_purge":           func(c *natsjs.StreamConfig) { c.DenyPurge = false },
		"allow_atomic":         func(c *natsjs.StreamConfig) { c.AllowAtomicPublish = false }, // so say old servers
		"allow_direct":         func(c *natsjs.StreamConfig) { c.AllowDirect = false },
		"duplicate_window":     func(c *natsjs.StreamConfig) { c.Duplicates = time.Second },
		"subjects":             func(c *natsjs.StreamConfig) { c.Subjects = []string{"evident.e.>", "more"} },
		"metadata":             func(c *natsjs.StreamConfig) { c.Metadata = nil },
		"allow_msg_ttl":        func(c *natsjs.StreamConfig) { c.AllowMsgTTL = true },
		"no_ack":               func(c *natsjs.StreamConfig) { c.NoAck, c.AllowAtomicPublish = true, false },
	} {
		config := good
		change(&config)
		createNext(t, js, config)
		requireSetting(t, setting, jetstream.Provision(t.Context(), js, jetstream.Config{}))
		store, err := jetstream.Open(t.Context(), js, jetstream.Config{})
		requireSetting(t, setting, err)
		if setting == "" {
			require.NoError(t, store.Close())
		}
		require.NoError(t, js.DeleteStream(t.Context(), "EVIDENT"))
	}
}

func TestAStoreThatIsNotThere(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	_, err := jetstream.Open(t.Context(), js, jetstream.Config{})
	requireSetting(t, "name", err)
	require.ErrorContains(t, err, "jetstream.Provision")
	requireSetting(t, "num_replicas", jetstream.Provision(t.Context(), js, jetstream.Config{Replicas: 3}))
	_, err = js.CreateStream(t.Context(), natsjs.StreamConfig{Name: "OTHER", Subjects: []string{"evident.>"}})
	require.NoError(t, err)
	requireSetting(t, "subjects", jetstream.Provision(t.Context(), js, jetstream.Config{}))
	require.NoError(t, js.DeleteStream(t.Context(), "OTHER"))
	_, err = jetstream.Open(t.Context(), nil, jetstream.Config{})
	require.ErrorIs(t, err, event.ErrInvalid)
	require.ErrorIs(t, jetstream.Provision(t.Context(), nil, jetstream.Config{}), event.ErrInvalid)
}

func TestAServerThatIsGone(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	js := server.JetStream(t)
	server.Stop()
	require.Eventually(t, func() bool { return !js.Conn().IsConnected() }, patience, tick)
	_, err := jetstream.Open(t.Context(), js, jetstream.Config{})
	require.ErrorIs(t, err, jetstream.ErrUnavailable)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	assert.True(t, eventstore.IsRetryable(err))
	require.ErrorIs(t, jetstream.Provision(t.Context(), js, jetstream.Config{}), jetstream.ErrUnavailable)
}

func TestWhichServersAreTooOld(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2.9.10": true, "2.11.0": true, "2.12.0": true, "1.99.99": true, "v2.12.0": true,
		"2.12.1": false, "2.12.1-beta.1": false, "2.14.0": false, "2.15.2": false, "3.0.0": false, "": false, "next": false,
	} {
		assert.Equal(t, want, jetstream.IsTooOld(version), version)
	}
}

func TestAConfigThatIsRefusedNamesTheField(t *testing.T) {
	t.Parallel()
	require.NoError(t, jetstream.Config{}.Validate())
	for field, config := range map[string]jetstream.Config{
		"prefix": {Prefix: "a b"}, "replicas": {Replicas: 6}, "tenant_id": {TenantID: "a\x00"}, "duplicate_window": {DuplicateWindow: time.Millisecond},
		"publish_timeout": {PublishTimeout: -1}, "poll_interval": {PollInterval: -1},
	} {
		var invalid *event.InvalidError
		require.ErrorAs(t, config.Validate(), &invalid, field)
		assert.Equal(t, field, invalid.Field)
	}
}

func TestLimitsFollowTheServers(t *testing.T) {
	t.Parallel()
	store := newEvents(t, natstest.Start(t, natstest.MaxPayload(200<<10)).JetStream(t), jetstream.Config{})
	limit := store.Limits().PayloadBytes
	assert.Equal(t, 200<<10-event.MaxMetadataBytes-4<<10, limit)
	e := jotted(string(make([]byte, limit)))
	_, err := store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: []event.Event{e}})
	require.NoError(t, err)
	e = jotted(string(make([]byte, limit+1)))
	_, err = store.Append(t.Context(), eventstore.Append{Stream: place(1), Events: []event.Event{e}})
	require.ErrorIs(t, err, eventstore.ErrTooLarge)

	small := natstest.Start(t, natstest.MaxPayload(64<<10)).JetStream(t)
	require.NoError(t, jetstream.Provision(t.Context(), small, jetstream.Config{}))
	_, err = jetstream.Open(t.Context(), small, jetstream.Config{})
	requireSetting(t, "max_payload", err)
}
