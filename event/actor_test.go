package event_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
)

func TestActorConstructors(t *testing.T) {
	t.Parallel()
	for want, actor := range map[string]event.ActorID{
		"user:550e8400":             event.User("550e8400"),
		"service:payment-processor": event.Service("payment-processor"),
		"api:key_abc123":            event.API("key_abc123"),
		"system:daily-cleanup":      event.System("daily-cleanup"),
		"cron:expire-sessions":      event.Cron("expire-sessions"),
		"webhook:stripe":            event.Webhook("stripe"),
		"import:csv-batch-42":       event.Import("csv-batch-42"),
	} {
		assert.Equal(t, event.ActorID(want), actor)
		require.NoError(t, actor.Validate())
		parsed, err := event.ParseActorID(want)
		require.NoError(t, err)
		assert.Equal(t, actor, parsed)
		kind, name, _ := strings.Cut(want, ":")
		assert.Equal(t, kind, actor.Kind())
		assert.Equal(t, name, actor.Name())
	}
}

func TestActorNameMayHoldColons(t *testing.T) {
	t.Parallel()
	actor := event.User("oidc:4711")
	require.NoError(t, actor.Validate())
	assert.Equal(t, event.KindUser, actor.Kind())
	assert.Equal(t, "oidc:4711", actor.Name())
}

func TestNobodyAndAnonymous(t *testing.T) {
	t.Parallel()
	var nobody event.ActorID
	require.NoError(t, nobody.Validate())
	assert.Empty(t, nobody.Kind())
	assert.Empty(t, nobody.Name())
	require.NoError(t, event.Anonymous.Validate())
	assert.Equal(t, event.KindAnonymous, event.Anonymous.Kind())
	assert.Empty(t, event.Anonymous.Name())

	_, err := event.ParseActorID("")
	require.ErrorIs(t, err, event.ErrInvalid)
	parsed, err := event.ParseActorID("anonymous")
	require.NoError(t, err)
	assert.Equal(t, event.Anonymous, parsed)
}

func TestActorRefused(t *testing.T) {
	t.Parallel()
	for actor, target := range map[string]error{
		"alice":           event.ErrInvalid,
		"usr:alice":       event.ErrInvalid,
		"User:alice":      event.ErrInvalid,
		" user:alice":     event.ErrInvalid,
		"anonymous:alice": event.ErrInvalid,
		"user:":           event.ErrInvalid,
		"user: \t":        event.ErrInvalid,
		":alice":          event.ErrInvalid,
		"user:al\x00ice":  event.ErrInvalid,
		"user:al\nice":    event.ErrInvalid,
		"user:al\xffice":  event.ErrInvalid,
		"\xff":            event.ErrInvalid,
		"user:" + strings.Repeat("x", event.MaxActorBytes): event.ErrTooLarge,
		strings.Repeat("é", 100):                           event.ErrInvalid,
	} {
		_, err := event.ParseActorID(actor)
		require.ErrorIs(t, err, target, "%q", actor)
		require.ErrorContains(t, err, "actor_id", "the field is named")
		assert.NotContains(t, err.Error(), "\xff", "messages are valid UTF-8")
		assert.Less(t, len(err.Error()), 250, "messages are short")
		assert.Equal(t, err, event.ActorID(actor).Validate())
	}
}

func TestActorAtTheLimit(t *testing.T) {
	t.Parallel()
	require.NoError(t, event.User(strings.Repeat("x", event.MaxActorBytes-len("user:"))).Validate())
	require.NoError(t, event.User("Zoë").Validate())
}

func TestActorLint(t *testing.T) {
	t.Parallel()
	for actor, warned := range map[event.ActorID]bool{
		event.User("550e8400-e29b-41d4-a716-446655440000"): false,
		event.User("alice"):               false,
		event.User("@handle"):             false,
		event.User("alice@localhost"):     false,
		event.User("alice@example."):      false,
		event.User("alice@.com"):          false,
		event.Anonymous:                   false,
		"":                                false,
		event.User("alice@example.com"):   true,
		event.User("Alice%40Example.COM"): true,
		event.Service("a@b.c"):            true,
	} {
		assert.Equal(t, warned, len(actor.Lint()) > 0, "%q", actor)
	}
}

func TestValidateName(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]error{
		"DocumentCreated":                       nil,
		"document.created ":                     nil,
		"Dokument geändert":                     nil,
		strings.Repeat("x", event.MaxNameBytes): nil,
		"":                                      event.ErrInvalid,
		"a\x00b":                                event.ErrInvalid,
		"a\x7fb":                                event.ErrInvalid,
		"ä\nb":                                  event.ErrInvalid,
		"a\xc3":                                 event.ErrInvalid,
		strings.Repeat("x", event.MaxNameBytes+1): event.ErrTooLarge,
	} {
		err := event.ValidateName("event_type", name)
		require.ErrorIs(t, err, target, "%q", name)
		if target != nil {
			assert.Contains(t, err.Error(), "event_type")
		}
	}
	require.NoError(t, event.TenantID("").Validate())
	require.NoError(t, event.TenantID("acme").Validate())
	require.ErrorIs(t, event.TenantID("a\x00").Validate(), event.ErrInvalid)
	require.ErrorIs(t, event.TenantID(strings.Repeat("x", event.MaxNameBytes+1)).Validate(), event.ErrTooLarge)
}
