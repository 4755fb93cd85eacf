package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

func TestWithStampsEvents(t *testing.T) {
	t.Parallel()
	ctx := event.WithMetadata(t.Context(), event.Metadata{"channel": "web", audit.KeyOnBehalfOf: "user:old"})
	ctx = auth.With(ctx, alice)
	e, err := event.New(ctx, Created{Title: "Plan"})
	require.NoError(t, err)
	assert.Equal(t, event.User("alice"), e.ActorID)
	assert.Equal(t, event.TenantID("acme"), e.TenantID)
	assert.Equal(t, event.Metadata{"channel": "web", auth.KeyMethod: "jwt", auth.KeyToken: "t1", auth.KeySession: "s1"}, e.Metadata)

	p, ok := auth.From(ctx)
	assert.True(t, ok)
	assert.Equal(t, alice, p)

	ctx = auth.With(ctx, auth.Principal{ActorID: event.Service("mail"), OnBehalfOf: event.User("alice")})
	origin := event.OriginFrom(ctx)
	assert.Equal(t, event.Origin{
		ActorID:  event.Service("mail"),
		Metadata: event.Metadata{"channel": "web", audit.KeyOnBehalfOf: "user:alice"},
	}, origin, "nothing of the principal before is left")
}

func TestFromNobody(t *testing.T) {
	t.Parallel()
	_, ok := auth.From(t.Context())
	assert.False(t, ok)
	_, ok = auth.From(event.WithActor(t.Context(), event.User("alice")))
	assert.False(t, ok, "an actor alone is no principal")
	_, ok = auth.From(auth.With(t.Context(), auth.Principal{}))
	assert.False(t, ok)
}

func TestWithCopiesPermissions(t *testing.T) {
	t.Parallel()
	permissions := []auth.Permission{"task:read"}
	ctx := auth.With(t.Context(), auth.Principal{ActorID: event.User("a"), Permissions: permissions})
	permissions[0] = "task:delete"
	p, _ := auth.From(ctx)
	assert.True(t, p.Can("task:read"))
	assert.False(t, p.Can("task:delete"))
}

func TestCanAndHas(t *testing.T) {
	t.Parallel()
	p := auth.Principal{Permissions: []auth.Permission{"task:create", ""}, Roles: []string{"admin", ""}}
	assert.True(t, p.Can("task:create"))
	for _, not := range []auth.Permission{"", "task", "task:*", "task:create2", "TASK:CREATE"} {
		assert.False(t, p.Can(not), not)
	}
	assert.True(t, p.Has("admin"))
	assert.False(t, p.Has(""))
	assert.False(t, p.Has("Admin"))
	assert.Equal(t, event.User("b"), auth.Principal{ActorID: "user:a", OnBehalfOf: "user:b"}.Subject())
	assert.Equal(t, event.User("a"), auth.Principal{ActorID: "user:a"}.Subject())
}

func TestPrincipalValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, alice.Validate())
	for field, p := range map[string]auth.Principal{
		"actor_id":     {},
		"anonymous":    {ActorID: event.Anonymous},
		"nobody":       {ActorID: "nobody"},
		"tenant_id":    {ActorID: "user:a", TenantID: "a\x00b"},
		"on_behalf_of": {ActorID: "user:a", OnBehalfOf: "b"},
		"method":       {ActorID: "user:a", Method: "a\nb"},
		"token_id":     {ActorID: "user:a", TokenID: strings.Repeat("x", 600)},
		"session_id":   {ActorID: "user:a", SessionID: "\xff"},
	} {
		require.ErrorContains(t, p.Validate(), field)
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	ctx := auth.WithRecorder(t.Context(), newRecorder(t, log, auth.RecorderConfig{}))
	require.NoError(t, auth.Require(auth.With(ctx, alice), "task:create"))
	assert.Empty(t, log.all(), "what is allowed is not recorded here")

	err := auth.Require(auth.With(ctx, bob), "task:create")
	require.ErrorIs(t, err, auth.ErrDenied)
	denied, ok := errors.AsType[*auth.DeniedError](err)
	require.True(t, ok)
	assert.Equal(t, auth.Permission("task:create"), denied.Permission)
	assert.Equal(t, event.User("bob"), denied.ActorID)
	assert.Equal(t, "user:bob: not allowed: lacks the permission task:create", err.Error())

	record := log.only(t)
	assert.Equal(t, auth.ActionDenied, record.Action())
	assert.Equal(t, audit.Denied, record.Outcome())
	assert.Equal(t, event.User("bob"), record.ActorID())
	assert.Equal(t, event.TenantID("acme"), record.TenantID())
	assert.Equal(t, audit.EntityRef{Type: "Permission", ID: "task:create"}, record.Entity())
	assert.Equal(t, "task:create", record.Metadata()[auth.KeyPermission])
}

func TestRequireNobody(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	ctx := auth.WithRecorder(t.Context(), newRecorder(t, log, auth.RecorderConfig{}))
	err := auth.Require(ctx, "task:create")
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
	require.NotErrorIs(t, err, auth.ErrDenied)
	assert.Equal(t, event.Anonymous, log.only(t).ActorID())

	require.ErrorIs(t, auth.Require(t.Context(), "task:create"), auth.ErrUnauthenticated, "without a recorder, too")
}

func TestCheckWithoutAnActor(t *testing.T) {
	t.Parallel()
	p := auth.Principal{Permissions: []auth.Permission{"task:create"}}
	require.ErrorIs(t, auth.Check(t.Context(), p, "task:create"), auth.ErrUnauthenticated, "permissions without an actor are nobody's")
}

func TestRequireNothing(t *testing.T) {
	t.Parallel()
	err := auth.Require(auth.With(t.Context(), alice), "")
	require.ErrorIs(t, err, auth.ErrDenied)
	require.ErrorContains(t, err, "no permission was named")
}

func TestRequireFailsClosed(t *testing.T) {
	t.Parallel()
	log := &logbook{down: true}
	ctx := auth.WithRecorder(t.Context(), newRecorder(t, log, auth.RecorderConfig{}))
	err := auth.Require(auth.With(ctx, bob), "task:create")
	require.ErrorIs(t, err, auth.ErrNotRecorded)
	require.ErrorIs(t, err, auth.ErrDenied)
	require.ErrorIs(t, err, errDown)
	require.ErrorContains(t, err, "could not be recorded")
}

type createTask struct{ Title string }

func TestGuarded(t *testing.T) {
	t.Parallel()
	log := &logbook{}
	handler := auth.Guarded("task:create", func(ctx context.Context, c auth.Command[createTask]) (string, error) {
		return string(event.ActorFrom(ctx)) + " " + c.Payload.Title, nil
	})
	ctx := auth.WithRecorder(t.Context(), newRecorder(t, log, auth.RecorderConfig{}))

	answer, err := handler(ctx, auth.NewCommand(alice, createTask{"Plan"}))
	require.NoError(t, err)
	assert.Equal(t, "user:alice Plan", answer)
	answer, err = handler(ctx, auth.CommandFrom(auth.With(ctx, alice), createTask{"Plan"}))
	require.NoError(t, err)
	assert.Equal(t, "user:alice Plan", answer)

	answer, err = handler(auth.With(ctx, alice), auth.NewCommand(bob, createTask{"Plan"}))
	require.ErrorIs(t, err, auth.ErrDenied, "it is the command's principal that counts")
	assert.Empty(t, answer)
	_, err = handler(auth.With(ctx, alice), auth.Command[createTask]{Payload: createTask{"Plan"}})
	require.ErrorIs(t, err, auth.ErrUnauthenticated, "a command that was decoded has nobody behind it")
	_, err = handler(ctx, auth.CommandFrom(ctx, createTask{}))
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
	assert.Len(t, log.all(), 3)
	assert.Equal(t, alice, auth.NewCommand(alice, 1).Principal())
}

func TestChain(t *testing.T) {
	t.Parallel()
	refuse := auth.AuthenticatorFunc(func(context.Context, string) (auth.Principal, error) {
		return auth.Principal{}, &auth.CredentialError{Reason: auth.Signature}
	})
	accept := auth.AuthenticatorFunc(func(_ context.Context, c string) (auth.Principal, error) {
		return auth.Principal{ActorID: event.User(c)}, nil
	})
	broken := auth.AuthenticatorFunc(func(context.Context, string) (auth.Principal, error) { return auth.Principal{}, errDown })

	p, err := auth.Chain(refuse, accept, broken).Authenticate(t.Context(), "x")
	require.NoError(t, err)
	assert.Equal(t, event.User("x"), p.ActorID)
	_, err = auth.Chain(refuse, broken, accept).Authenticate(t.Context(), "x")
	require.ErrorIs(t, err, errDown, "who cannot tell ends it")
	_, err = auth.Chain(refuse, refuse).Authenticate(t.Context(), "x")
	require.ErrorContains(t, err, "signature")
	_, err = auth.Chain().Authenticate(t.Context(), "x")
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
}

func TestLogger(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	auth.Logger(t.Context()).Info("nowhere")
	ctx := auth.WithLogger(t.Context(), zap.New(core))
	auth.Logger(ctx).Info("nobody")
	ctx = event.WithMetadata(event.WithCorrelation(ctx, uuid.MustParse("4bf92f35-77b3-4da6-a3ce-929d0e0e4736")), event.Metadata{audit.KeyRequest: "r1"})
	auth.Logger(auth.With(ctx, alice)).Info("somebody")
	require.Equal(t, 2, logs.Len())
	assert.Empty(t, logs.All()[0].ContextMap())
	assert.Equal(t, map[string]any{
		"actor_id": "user:alice", "tenant_id": "acme", "request_id": "r1", "correlation_id": "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
	}, logs.All()[1].ContextMap())
}
