package projection_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

type noted struct {
	Text string `json:"text"`
}

func (noted) EventType() string { return "Noted" }

func onNoted(context.Context, event.Of[noted]) error { return nil }

func TestConfigIsRefusedByField(t *testing.T) {
	t.Parallel()
	good := projection.New("notes", 1, projection.On(onNoted))
	for name, tc := range map[string]struct {
		config projection.Config
		want   string
	}{
		"no projection":     {projection.Config{}, "projections"},
		"nil projection":    {projection.Config{Projections: []projection.Projection{nil}}, "nil"},
		"two of one name":   {projection.Config{Projections: []projection.Projection{good, good}}, `"notes"`},
		"no name":           {projection.Config{Projections: []projection.Projection{projection.New("", 1, projection.On(onNoted))}}, "projection"},
		"version 0":         {projection.Config{Projections: []projection.Projection{projection.New("notes", 0, projection.On(onNoted))}}, "version"},
		"no handler":        {projection.Config{Projections: []projection.Projection{projection.New("notes", 1)}}, "no handler"},
		"two handlers":      {projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted), projection.On(onNoted))}}, "two handlers"},
		"nil part":          {projection.Config{Projections: []projection.Projection{projection.New("notes", 1, nil)}}, "part is nil"},
		"nil every":         {projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.OnEvery(nil))}}, "nil"},
		"batch size":        {projection.Config{Projections: []projection.Projection{good}, BatchSize: -1}, "batch_size"},
		"batch time":        {projection.Config{Projections: []projection.Projection{good}, BatchTime: -1}, "batch_time"},
		"lease":             {projection.Config{Projections: []projection.Projection{good}, LeaseTTL: -1}, "lease_ttl"},
		"shutdown":          {projection.Config{Projections: []projection.Projection{good}, ShutdownTimeout: -1}, "shutdown_timeout"},
		"sequences":         {projection.Config{Projections: []projection.Projection{good}, MaxSequences: -1}, "max_sequences"},
		"letters":           {projection.Config{Projections: []projection.Projection{good}, MaxLetters: -1}, "max_letters"},
		"action":            {projection.Config{Projections: []projection.Projection{good}, OnPoison: 9}, "on_poison"},
		"negative retry":    {projection.Config{Projections: []projection.Projection{good}, Retry: projection.Retry{MaxAttempts: -1}}, "retry"},
		"retry upside down": {projection.Config{Projections: []projection.Projection{good}, Pause: projection.Retry{First: 2, Most: 1}}, "pause.most"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := projection.NewRunner(openMemory(t), tc.config)
			require.Error(t, err)
			require.ErrorContains(t, err, tc.want)
			assert.True(t, errors.Is(err, event.ErrInvalid) || errors.Is(err, event.ErrDefinition))
		})
	}
}

func TestRunnerNeedsAPlaceForProgress(t *testing.T) {
	t.Parallel()
	config := projection.Config{Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))}}
	guarded := eventstore.BindTenant(openMemory(t), "acme")
	_, err := projection.NewRunner(guarded, config)
	require.ErrorIs(t, err, event.ErrInvalid)
	require.ErrorContains(t, err, "progress")
	config.Progress = openMemory(t)
	_, err = projection.NewRunner(guarded, config)
	require.NoError(t, err)
	_, err = projection.NewRunner(nil, config)
	require.ErrorIs(t, err, event.ErrInvalid)
}

func TestDefaultClass(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	for _, tc := range []struct {
		err  error
		want projection.Class
	}{
		{plain, projection.Unclassified},
		{projection.AsPoison(plain), projection.Poison},
		{fmt.Errorf("wrapped: %w", projection.AsInfrastructure(plain)), projection.Infrastructure},
		{&projection.PanicError{Value: 1}, projection.Bug},
		{&checkpoint.MovedError{}, projection.Lost},
		{context.Canceled, projection.Cancelled},
		{context.DeadlineExceeded, projection.Infrastructure},
		{&event.DecodeError{Err: plain}, projection.Poison},
		{&event.InvalidError{}, projection.Poison},
		{&event.TooLargeError{}, projection.Poison},
		{eventstore.ErrUnavailable, projection.Infrastructure},
		{eventstore.ErrReadOnly, projection.Infrastructure},
		{eventstore.ErrFull, projection.Infrastructure},
		{&dlq.FullError{}, projection.Infrastructure},
		{netError{}, projection.Infrastructure},
		{&net.OpError{Op: "dial", Err: plain}, projection.Infrastructure},
		{&url.Error{Op: "parse", Err: plain}, projection.Unclassified},
		{os.ErrNotExist, projection.Unclassified},
		{syscall.ENOENT, projection.Unclassified},
	} {
		assert.Equal(t, tc.want, projection.DefaultClass(tc.err), "%v", tc.err)
	}
	require.ErrorIs(t, projection.AsPoison(plain), plain)
	assert.Equal(t, "plain", projection.AsPoison(plain).Error())
}

// netError is what errors of package net look like.
type netError struct{}

func (netError) Error() string   { return "connection refused" }
func (netError) Timeout() bool   { return false }
func (netError) Temporary() bool { return true }

func TestNamesOfEverything(t *testing.T) {
	t.Parallel()
	var classes, states, actions []string
	for c := projection.Unclassified; c <= projection.Lost; c++ {
		classes = append(classes, c.String())
	}
	for s := projection.Idle; s <= projection.Failed; s++ {
		states = append(states, s.String())
	}
	for a := projection.Park; a <= projection.Stop; a++ {
		actions = append(actions, a.String())
	}
	assert.Equal(t, []string{"unclassified", "infrastructure", "poison", "bug", "cancelled", "ownership lost"}, classes)
	assert.Equal(t, []string{"idle", "waiting for its lease", "catching up", "live", "paused", "failed"}, states)
	assert.Equal(t, []string{"park", "skip", "stop"}, actions)
	assert.Equal(t, "at least once", projection.AtLeastOnce.String())
	assert.Equal(t, "exactly once", projection.ExactlyOnce.String())
	assert.InDelta(t, 1, projection.Status{}.Done(), 0)
}

func TestDeclaredProjection(t *testing.T) {
	t.Parallel()
	narrow := projection.New("notes", 1, projection.On(onNoted), projection.SequenceBy(func(event.Event) string { return "one" }))
	assert.Equal(t, []string{"Noted"}, narrow.EventTypes())
	assert.Equal(t, "one", narrow.SequenceKey(event.Event{}))
	require.ErrorIs(t, narrow.CanReset(), event.ErrDefinition)
	require.ErrorIs(t, narrow.Reset(t.Context(), nil), event.ErrDefinition)
	wide := projection.New("all", 1, projection.OnEvery(func(context.Context, event.Event) error { return nil }))
	assert.Nil(t, wide.EventTypes())
	e := event.Event{TenantID: "acme", AggregateType: "Note"}
	assert.Equal(t, "acme/Note/00000000-0000-0000-0000-000000000000", wide.SequenceKey(e))
}

// shouting is a codec that is not JSON.
type shouting struct{ event.JSON }

func (shouting) Decode(_ []byte, into any) error {
	if n, ok := into.(*noted); ok {
		n.Text = "LOUD"
	}
	return nil
}

func TestDeclaredProjectionUsesItsCodec(t *testing.T) {
	t.Parallel()
	var text string
	p := projection.New("notes", 1, projection.Codec(shouting{}), projection.On(func(_ context.Context, e event.Of[noted]) error {
		text = e.Payload.Text
		return nil
	}))
	require.NoError(t, p.Validate())
	require.NoError(t, p.Apply(t.Context(), nil, event.Event{Type: "Noted", SchemaVersion: 1}))
	assert.Equal(t, "LOUD", text)
	failing := projection.New("every", 1, projection.OnEvery(func(context.Context, event.Event) error { return errors.New("no") }))
	require.Error(t, failing.Apply(t.Context(), nil, event.Event{}))
}

func TestResetIsRefusedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	key := checkpoint.Key{Projection: "notes", Version: 1}
	require.NoError(t, store.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 7, StoreID: store.ID()}))
	r, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{projection.New("notes", 1, projection.On(onNoted))},
		LeaseTTL:    time.Second,
	})
	require.NoError(t, err)
	require.ErrorIs(t, r.Reset(t.Context(), "notes"), event.ErrDefinition)
	require.ErrorIs(t, r.Rebuild(t.Context(), "nobody"), projection.ErrUnknownProjection)
	c, err := store.Checkpoints().Load(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, uint64(7), c.Position)
}

func TestNilStaysNil(t *testing.T) {
	t.Parallel()
	require.NoError(t, projection.AsPoison(nil))
	require.NoError(t, projection.AsInfrastructure(nil))
}

func TestDefaultSequenceKeysDiffer(t *testing.T) {
	t.Parallel()
	one := event.Event{TenantID: "a", AggregateType: "b/c"}
	other := event.Event{TenantID: "a/b", AggregateType: "c"}
	escaped := event.Event{TenantID: "a", AggregateType: "b%2Fc"}
	assert.NotEqual(t, projection.DefaultSequenceKey(one), projection.DefaultSequenceKey(other))
	assert.NotEqual(t, projection.DefaultSequenceKey(one), projection.DefaultSequenceKey(escaped))
}

// What a user's function does wrong must not end the process.
func TestPanicsOfCallbacksAreCaught(t *testing.T) {
	t.Parallel()
	failing := projection.On(func(context.Context, event.Of[noted]) error { return errors.New("no") })
	for name, tc := range map[string]struct {
		projection projection.Projection
		change     func(*projection.Config)
		want       error
	}{
		"sequence key": {projection.New("notes", 1, failing, projection.SequenceBy(func(event.Event) string { panic("key") })), nil, event.ErrDefinition},
		"empty key":    {projection.New("notes", 1, failing, projection.SequenceBy(func(event.Event) string { return "" })), nil, event.ErrDefinition},
		"progress": {projection.New("notes", 1, projection.On(onNoted)), func(c *projection.Config) {
			c.OnProgress = func(projection.Status) { panic("bar") }
		}, nil},
		"classifier": {projection.New("notes", 1, failing), func(c *projection.Config) {
			c.Classifier = projection.ClassifierFunc(func(error) (projection.Class, bool) { panic("class") })
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openMemory(t)
			note(t, store, "one")
			config := projection.Config{Projections: []projection.Projection{tc.projection}, Retry: projection.Retry{MaxAttempts: 1}}
			if tc.change != nil {
				tc.change(&config)
			}
			r, err := projection.NewRunner(store, config)
			require.NoError(t, err)
			require.ErrorIs(t, r.RunUntilCaughtUp(t.Context()), tc.want)
		})
	}
}
