package jetstream_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

// rights are those that the doc comment of Open names.
func rights() []string {
	return []string{
		"evident.e.>", "evident.news", "$JS.API.STREAM.INFO.EVIDENT", "$JS.API.STREAM.MSG.GET.EVIDENT", "$JS.API.DIRECT.GET.EVIDENT",
		"$JS.API.CONSUMER.CREATE.EVIDENT.>", "$JS.API.CONSUMER.MSG.NEXT.EVIDENT.>", "$JS.API.CONSUMER.DELETE.EVIDENT.>",
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
	require.NoError(t, jetstream.Provision(t.Context(), s.JetStream(t, nats.UserInfo("admin", "admin")), jetstream.Config{}))
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

	reader := openEvents(t, s.JetStream(t, nats.UserInfo("reader", "reader")), config)
	require.Len(t, gather(t, reader.ReadAll(t.Context(), eventstore.Query{})), 800)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := reader.Append(short, eventstore.Append{Stream: place(2), Expected: eventstore.NoStream(), Events: notes(1)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
}
