package jetstream_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

// nasty draws names that subjects have trouble with.
func nasty() *rapid.Generator[string] {
	part := rapid.OneOf(
		rapid.SampledFrom([]string{
			".", "*", ">", " ", "\t", "\r\n", "\x00", "\x7f", "%", "%2E", "%2e", "~", "%7E", "-", "_", "$", "A", "a", "é", "e\u0301", "日本", "😀",
			"\xff", "..", "a.b", "*.>", strings.Repeat("x", 500), strings.Repeat(".", 500),
		}),
		rapid.String(),
	)
	return rapid.Map(rapid.SliceOfN(part, 0, 4), func(parts []string) string { return strings.Join(parts, "") })
}

func TestTokensAreReversibleAndSafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := nasty().Draw(t, "name")
		token := jetstream.Token(name)
		back, err := jetstream.ParseToken(token)
		require.NoError(t, err)
		require.Equal(t, name, back)
		require.NotEmpty(t, token)
		require.Empty(t, strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_%~"))
		require.Equal(t, name == "", token == jetstream.NoTenant)
	})
}

func TestDifferentNamesHaveDifferentTokens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := nasty().Draw(t, "a"), nasty().Draw(t, "b")
		require.Equal(t, a == b, jetstream.Token(a) == jetstream.Token(b))
	})
}

func TestOnlyTokensParse(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", ".", "a.b", "*", ">", "%", "%2", "%zz", "%2e", "%41", "a b", "~~", "a~", "é", "$JS"} {
		_, err := jetstream.ParseToken(bad)
		require.ErrorIs(t, err, event.ErrInvalid, "%q", bad)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.SampledFrom([]rune("%2Eea~.-_Z")), 0, 8, -1).Draw(t, "s")
		if name, err := jetstream.ParseToken(s); err == nil {
			require.Equal(t, s, jetstream.Token(name))
		}
	})
}

func TestOperation(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]string{
		"document.created": "created", "create_task": "create_task", "document.access.granted": "access-granted",
		"a.b.c.d.e": "b-c-d-e",
	} {
		assert.Equal(t, want, jetstream.Operation(action))
	}
}

func record(tb testing.TB, draft audit.Draft) audit.ActivityRecord {
	tb.Helper()
	if draft.Action == "" {
		draft.Action = "task.closed"
	}
	if draft.Entity.Type == "" {
		draft.Entity = audit.EntityRef{Type: "Task", ID: "1"}
	}
	r, err := audit.NewRecord(draft)
	require.NoError(tb, err)
	return r
}

func TestActivitySubject(t *testing.T) {
	t.Parallel()
	acme := jetstream.ActivitySubject("audit.v1", record(t, audit.Draft{TenantID: "acme"}))
	assert.Equal(t, "audit.v1.acme.activity.recorded.Task.closed", acme)
	nobodys := jetstream.ActivitySubject("audit.v1", record(t, audit.Draft{}))
	assert.Equal(t, "audit.v1.~.activity.recorded.Task.closed", nobodys)
	tilde := jetstream.ActivitySubject("audit.v1", record(t, audit.Draft{TenantID: "~"}))
	assert.Equal(t, "audit.v1.%7E.activity.recorded.Task.closed", tilde, "a tenant of that name is not nobody")
	dotted := jetstream.ActivitySubject("audit.v1", record(t, audit.Draft{TenantID: "a.>", Entity: audit.EntityRef{Type: "*", ID: "1"}}))
	assert.Equal(t, "audit.v1.a%2E%3E.activity.recorded.%2A.closed", dotted)
}

// Explicit activities about a thing and its events have one order, whatever
// their streams are called; ids that are no aggregate's have one as well.
func TestActivitiesAboutOneEntityHaveOneOrder(t *testing.T) {
	t.Parallel()
	key := func(tenant, entityType, entityID string) string {
		return jetstream.OrderOf(record(t, audit.Draft{TenantID: event.TenantID(tenant), Entity: audit.EntityRef{Type: entityType, ID: entityID}}))
	}
	aggregate := event.Event{TenantID: "a/b", AggregateType: "T/U", AggregateID: id(1)}
	assert.Equal(t, projection.DefaultSequenceKey(aggregate), key("a/b", "T/U", id(1).String()))
	keys := []string{key("", "T", "x"), key("T", "x", "x"), key("a", "b/c", "d"), key("a/b", "c", "d"), key("a", "b", "c/d"), key("a", "b%2Fc", "d"), key("", "T", strings.ToUpper(id(0xabc).String())), key("", "T", id(0xabc).String())}
	slices.Sort(keys)
	assert.Len(t, slices.Compact(keys), 8)
	long := key(strings.Repeat("/", 128), strings.Repeat("/", 128), strings.Repeat("/", 256))
	assert.LessOrEqual(t, len(long), projection.MaxSequenceKeyBytes)
	assert.NotEqual(t, long, key(strings.Repeat("/", 128), strings.Repeat("/", 128), strings.Repeat("/", 255)+"x"))
}

// The longest names that a record can have make a subject that is short enough.
func TestTheLongestSubjectIsPublished(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("é", event.MaxNameBytes/2)
	r := record(t, audit.Draft{TenantID: event.TenantID(longest), Action: "a." + strings.Repeat("b", 120), Entity: audit.EntityRef{Type: longest, ID: "1"}})
	subject := jetstream.ActivitySubject(strings.Repeat("p", 64), r)
	assert.LessOrEqual(t, len(subject), jetstream.MaxSubjectBytes)
}

// What the server does with a token is what we believe: whatever the name, the
// subject has as many parts, and a filter on the literal subject finds it.
func TestTheServerTakesEveryToken(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	conn := js.Conn()
	names := []string{"", ".", "*", ">", " ", "\x00", "%", "~", "A", "a", "é", "日本", "a.b", "*.>", "$JS", strings.Repeat("*", 128)}
	for _, name := range names {
		subject := jetstream.Subject("names", name)
		sub, err := conn.SubscribeSync(subject)
		require.NoError(t, err)
		other, err := conn.SubscribeSync("names.*")
		require.NoError(t, err)
		require.NoError(t, conn.PublishMsg(&nats.Msg{Subject: subject}))
		require.NoError(t, conn.Flush())
		for _, s := range []*nats.Subscription{sub, other} {
			m, err := s.NextMsg(patience)
			require.NoError(t, err, "%q", name)
			assert.Equal(t, subject, m.Subject)
			require.NoError(t, s.Unsubscribe())
		}
	}
}
