package jetstream_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/jetstream"
)

// anyStream draws streams, with names from everything that is allowed in one and
// more of what a subject must not have.
func anyStream() *rapid.Generator[eventstore.Stream] {
	name := rapid.OneOf(
		rapid.StringOfN(rapid.RuneFrom([]rune(".*> %~aA0-_/$é🦊")), 1, 20, event.MaxNameBytes),
		rapid.StringN(1, 40, event.MaxNameBytes).Filter(func(s string) bool { return event.ValidateName("name", s) == nil }),
	)
	return rapid.Custom(func(t *rapid.T) eventstore.Stream {
		s := eventstore.Stream{AggregateType: name.Draw(t, "type"), AggregateID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))}
		if rapid.Bool().Draw(t, "has tenant") {
			s.TenantID = event.TenantID(name.Draw(t, "tenant"))
		}
		return s
	})
}

func TestAnEventsSubjectSaysWhichEventItIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyStream().Draw(t, "a"), anyStream().Draw(t, "b")
		version := rapid.Uint64().Draw(t, "version")
		subject := jetstream.EventSubject("evident", a, version)
		parts := strings.Split(subject, ".")
		if len(parts) != 6 || strings.ContainsAny(subject, "*> \t\r\n") || len(subject) > jetstream.MaxSubjectBytes {
			t.Fatalf("bad subject %q", subject)
		}
		stream, got, err := jetstream.ParseEventSubject("evident", subject)
		if err != nil || stream != a || got != version {
			t.Fatalf("%q was parsed as %v %d: %v", subject, stream, got, err)
		}
		if (jetstream.EventSubject("evident", b, version) == subject) != (a == b) {
			t.Fatalf("%v and %v", a, b)
		}
	})
}

func TestTheLongestSubjectIsShortEnough(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat(" ", event.MaxNameBytes) // each byte becomes three
	config := jetstream.Config{Prefix: strings.Repeat("p", 64)}
	require.NoError(t, config.Validate())
	subject := jetstream.EventSubject(config.Prefix, eventstore.Stream{TenantID: event.TenantID(longest), AggregateType: longest, AggregateID: uuid.Max}, 1<<64-1)
	assert.LessOrEqual(t, len(subject), jetstream.MaxSubjectBytes)
	config.Prefix += "p"
	require.ErrorIs(t, config.Validate(), event.ErrTooLarge)
}

func TestWhatIsNoEventsSubjectIsRefused(t *testing.T) {
	t.Parallel()
	good := jetstream.EventSubject("evident", eventstore.Stream{TenantID: "acme", AggregateType: "Task", AggregateID: id(1)}, 7)
	_, _, err := jetstream.ParseEventSubject("evident", good)
	require.NoError(t, err)
	for _, bad := range []string{
		"", "evident.e", "evident.e.guard", "other" + good, good + ".1", good + "x", strings.Replace(good, "acme", "*", 1),
		strings.Replace(good, "Task", "Ta%4Bsk", 1), strings.Replace(good, "0190", "zzzz", 1), strings.Replace(good, ".7", ".-7", 1),
	} {
		_, _, err := jetstream.ParseEventSubject("evident", bad)
		require.ErrorIs(t, err, event.ErrInvalid, bad)
	}
}
