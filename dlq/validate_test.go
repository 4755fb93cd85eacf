package dlq_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func letter() dlq.Letter {
	return dlq.Letter{
		Sequence:  dlq.Sequence{Projection: "titles", Version: 1, Key: "Document/1"},
		Position:  7,
		EventID:   uuid.Max,
		EventType: "DocumentEdited",
		Cause:     "no such title",
		Attempts:  3,
		ParkedAt:  noon,
	}
}

func TestCheckLetter(t *testing.T) {
	t.Parallel()
	good := letter()
	good.Sequence.Key = strings.Repeat("k", dlq.MaxKeyBytes)
	good.Attempts, good.Cause = 0, "any \x00 text"
	require.NoError(t, dlq.CheckLetter(&good))

	for want, spoil := range map[string]func(l *dlq.Letter){
		"invalid projection: must not be empty":                   func(l *dlq.Letter) { l.Sequence.Projection = "" },
		"invalid version: of projection titles must be 1 or more": func(l *dlq.Letter) { l.Sequence.Version = 0 },
		"invalid key: must not be empty":                          func(l *dlq.Letter) { l.Sequence.Key = "" },
		`invalid key "a\tb": contains a control character`:        func(l *dlq.Letter) { l.Sequence.Key = "a\tb" },
		"key has 1025 bytes, the limit is 1024":                   func(l *dlq.Letter) { l.Sequence.Key = strings.Repeat("k", 1025) },
		"invalid position: must be the event's, from 1":           func(l *dlq.Letter) { l.Position = 0 },
		"invalid event_id: must be set":                           func(l *dlq.Letter) { l.EventID = uuid.Nil },
		"invalid event_type: must not be empty":                   func(l *dlq.Letter) { l.EventType = "" },
		"invalid attempts: must not be negative":                  func(l *dlq.Letter) { l.Attempts = -1 },
		"invalid redrives: must not be negative":                  func(l *dlq.Letter) { l.Redrives = -1 },
		"invalid parked_at: must be set":                          func(l *dlq.Letter) { l.ParkedAt = time.Time{} },
	} {
		bad := letter()
		spoil(&bad)
		require.EqualError(t, dlq.CheckLetter(&bad), want)
	}
}

func TestCheckDiscard(t *testing.T) {
	t.Parallel()
	require.NoError(t, dlq.CheckDiscard("never used,\nsays Ada", event.User("ada"), noon))
	require.NoError(t, dlq.CheckDiscard(strings.Repeat("r", dlq.MaxReasonBytes), "", noon))

	blank := "invalid reason: must say why the letter is discarded"
	unstorable := "invalid reason: is not valid UTF-8 or contains NUL"
	require.EqualError(t, dlq.CheckDiscard("", "", noon), blank)
	require.EqualError(t, dlq.CheckDiscard(" \n", "", noon), blank)
	require.EqualError(t, dlq.CheckDiscard("\xff", "", noon), unstorable)
	require.EqualError(t, dlq.CheckDiscard("a\x00", "", noon), unstorable)
	require.EqualError(t, dlq.CheckDiscard("test", "", time.Time{}), "invalid discarded_at: must be set")
	require.ErrorIs(t, dlq.CheckDiscard("test", "ada", noon), event.ErrInvalid)
	require.ErrorIs(t, dlq.CheckDiscard(strings.Repeat("r", dlq.MaxReasonBytes+1), "", noon), event.ErrTooLarge)
}

func TestStored(t *testing.T) {
	t.Parallel()
	l := letter()
	l.Cause = strings.Repeat("c", dlq.MaxCauseBytes+1)
	l.ParkedAt = noon.Add(1999).In(time.FixedZone("elsewhere", 3600))
	stored := dlq.Stored(l)
	assert.Len(t, stored.Cause, dlq.MaxCauseBytes)
	assert.Equal(t, noon.Add(time.Microsecond), stored.ParkedAt)
	assert.True(t, stored.TriedAt.IsZero())
	l.Cause, l.ParkedAt = stored.Cause, stored.ParkedAt
	assert.Equal(t, l, stored, "all else stays")
}

func TestCutCause(t *testing.T) {
	t.Parallel()
	most := dlq.MaxCauseBytes
	for name, c := range map[string]struct{ cause, want string }{
		"empty":                         {"", ""},
		"short":                         {"no such\ntitle ✗", "no such\ntitle ✗"},
		"at the limit":                  {strings.Repeat("c", most), strings.Repeat("c", most)},
		"over the limit":                {strings.Repeat("c", most+1), strings.Repeat("c", most)},
		"inside of a character":         {strings.Repeat("c", most-1) + "✗", strings.Repeat("c", most-1)},
		"after a character":             {strings.Repeat("c", most-3) + "✗✗", strings.Repeat("c", most-3) + "✗"},
		"inside of four bytes":          {strings.Repeat("c", most-3) + "𝄞", strings.Repeat("c", most-3)},
		"NUL and invalid UTF-8":         {"a\x00b\xffc", "a\uFFFDb\uFFFDc"},
		"replacements over the limit":   {strings.Repeat("\x00", most), strings.Repeat("\uFFFD", most/3)},
		"continuation bytes, no letter": {strings.Repeat("\x80", most+9), "\uFFFD"},
	} {
		assert.Equal(t, c.want, dlq.CutCause(c.cause), name)
	}
}

func TestCutCauseOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		unit := string(rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "unit"))
		cause := rapid.StringN(0, 40, -1).Draw(t, "begin") + strings.Repeat(unit, rapid.IntRange(0, 1400).Draw(t, "times"))
		cut := dlq.CutCause(cause)
		require.LessOrEqual(t, len(cut), dlq.MaxCauseBytes)
		require.True(t, utf8.ValidString(cut))
		require.NotContains(t, cut, "\x00")
		require.Equal(t, cut, dlq.CutCause(cut))
		if utf8.ValidString(cause) && !strings.Contains(cause, "\x00") {
			require.True(t, strings.HasPrefix(cause, cut))
			require.GreaterOrEqual(t, len(cut), min(len(cause), dlq.MaxCauseBytes-3))
		}
	})
}
