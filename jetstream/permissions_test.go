package jetstream_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// rights are those that the doc comment of Open names.
func rights() []string {
	return []string{
		"evident.e.>", "evident.news", "$JS.API.STREAM.INFO.EVIDENT", "$JS.API.STREAM.MSG.GET.EVIDENT", "$JS.API.DIRECT.GET.EVIDENT",
		"$JS.API.CONSUMER.CREATE.EVIDENT.>", "$JS.API.CONSUMER.MSG.NEXT.EVIDENT.>", "$JS.API.CONSUMER.DELETE.EVIDENT.>",
		"$KV.evident_progress.>", "$JS.API.STREAM.INFO.KV_evident_progress", "$JS.API.STREAM.MSG.GET.KV_evident_progress",
		"$JS.API.DIRECT.GET.KV_evident_progress", "$JS.API.STREAM.PURGE.KV_evident_progress",
	}
}

// user may publish where allow says and nowhere else.
func user(name string, allow []string) *server.User {
	return &server.User{Username: name, Password: name, Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: allow}, Subscribe: &server.SubjectPermission{Allow: []string{"evident.news", "_INBOX.>"}},
	}}
}

func TestTheRightsThatAStoreNeeds(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "admin", Password: "admin"}, user("app", rights()), user("reader", rights()[1:])}
	})
	admin := s.JetStream(t, nats.UserInfo("admin", "admin"))
	require.NoError(t, jetstream.Provision(t.Context(), admin, jetstream.Config{}))
	config := jetstream.Config{PublishTimeout: 200 * time.Millisecond}

	app := openEvents(t, s.JetStream(t, nats.UserInfo("app", "app")), config)
	for range 2 {
		events := notes(400)
		for range 2 { // sent again, it is looked for
			_, err := app.Append(t.Context(), eventstore.Append{Stream: place(1), Events: events})
			require.NoError(t, err)
		}
	}
	for _, direction := range []eventstore.Direction{eventstore.Forward, eventstore.Backward} {
		require.Len(t, gather(t, app.ReadAll(t.Context(), eventstore.Query{TenantID: "acme", Direction: direction})), 800)
		require.Len(t, gather(t, app.ReadStream(t.Context(), place(1), eventstore.StreamQuery{Direction: direction})), 800)
	}

	follow(t, app, func() uint64 {
		bucket, err := admin.Stream(t.Context(), "KV_evident_progress")
		require.NoError(t, err)
		return bucket.CachedInfo().State.Msgs
	})

	reader := openEvents(t, s.JetStream(t, nats.UserInfo("reader", "reader")), config)
	require.Len(t, gather(t, reader.ReadAll(t.Context(), eventstore.Query{})), 800)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := reader.Append(short, eventstore.Append{Stream: place(2), Expected: eventstore.NoStream(), Events: notes(1)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
}

// follow does to the bucket what a runner does.
func follow(t *testing.T, store *jetstream.Store, stored func() uint64) {
	t.Helper()
	ctx := t.Context()
	_, err := store.Leases().Acquire(ctx, "titles", "a", time.Minute)
	require.NoError(t, err)
	held, err := store.Leases().List(ctx, "")
	require.NoError(t, err)
	require.Len(t, held, 1)
	tx, err := store.Begin(ctx)
	require.NoError(t, err)
	for n := range uint64(3) {
		require.NoError(t, tx.DeadLetters().Park(ctx, waiting("task", n+1)))
	}
	require.NoError(t, tx.Checkpoints().Move(ctx, titles, checkpoint.Move{To: 3, StoreID: store.ID()}))
	require.NoError(t, tx.Commit(ctx))
	letters, err := store.DeadLetters().Letters(ctx, waiting("task", 1).Sequence, 10)
	require.NoError(t, err)
	require.Len(t, letters, 3)
	before := stored()
	require.NoError(t, store.DeadLetters().Clear(ctx, titles.Projection, titles.Version))
	require.Less(t, stored(), before, "what was cleared is still there")
}
