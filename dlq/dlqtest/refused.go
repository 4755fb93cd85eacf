package dlqtest

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

func badLetters(t promisetest.T, h Harness) {
	for field, spoil := range map[string]func(l *dlq.Letter){
		"projection":   func(l *dlq.Letter) { l.Sequence.Projection = "" },
		"nul":          func(l *dlq.Letter) { l.Sequence.Projection = "nul\x00" },
		"version":      func(l *dlq.Letter) { l.Sequence.Version = 0 },
		"key":          func(l *dlq.Letter) { l.Sequence.Key = "" },
		"utf-8":        func(l *dlq.Letter) { l.Sequence.Key = "\xff" },
		"position":     func(l *dlq.Letter) { l.Position = 0 },
		"event id":     func(l *dlq.Letter) { l.EventID = uuid.Nil },
		"event type":   func(l *dlq.Letter) { l.EventType = "" },
		"attempts":     func(l *dlq.Letter) { l.Attempts = -1 },
		"redrives":     func(l *dlq.Letter) { l.Redrives = -1 },
		"parked at":    func(l *dlq.Letter) { l.ParkedAt = time.Time{} },
		"over-long":    func(l *dlq.Letter) { l.Sequence.Key = strings.Repeat("k", dlq.MaxKeyBytes+1) },
		"control char": func(l *dlq.Letter) { l.Sequence.Key = "a\nb" },
	} {
		bad := letter("a", 2)
		spoil(&bad)
		err := h.Store.Park(t.Context(), letter("a", 1), bad)
		if field == "over-long" {
			require.ErrorIs(t, err, event.ErrTooLarge, field)
		} else {
			require.ErrorIs(t, err, event.ErrInvalid, field)
		}
	}
	assert.Empty(t, lettersOf(t, h.Store, "a"), "nothing is stored of what is refused")
}

func badDiscards(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1))
	l := letter("a", 1)
	require.ErrorIs(t, h.Store.Discard(t.Context(), l, "", "", noon), event.ErrInvalid)
	require.ErrorIs(t, h.Store.Discard(t.Context(), l, " \t", "", noon), event.ErrInvalid)
	require.ErrorIs(t, h.Store.Discard(t.Context(), l, "\xff", "", noon), event.ErrInvalid)
	require.ErrorIs(t, h.Store.Discard(t.Context(), l, "nul\x00", "", noon), event.ErrInvalid)
	require.ErrorIs(t, h.Store.Discard(t.Context(), l, "test", "alice", noon), event.ErrInvalid)
	require.ErrorIs(t, h.Store.Discard(t.Context(), l, "test", "", time.Time{}), event.ErrInvalid)
	require.ErrorIs(t, h.Store.Discard(t.Context(), l, strings.Repeat("r", dlq.MaxReasonBytes+1), "", noon), event.ErrTooLarge)
	assert.Equal(t, []uint64{1}, positions(t, h.Store, "a"))
	assert.Empty(t, discardedOf(t, h.Store))
}

func causeIsCut(t promisetest.T, h Harness) {
	// Three bytes each, so that the limit falls inside of a character.
	long := strings.Repeat("✗", dlq.MaxCauseBytes/3+10)
	want := strings.Repeat("✗", dlq.MaxCauseBytes/3)
	failed := letter("a", 1)
	failed.Cause = long
	park(t, h.Store, failed)
	assert.Equal(t, want, lettersOf(t, h.Store, "a")[0].Cause)

	require.NoError(t, h.Store.Failed(t.Context(), failed, "again "+long, noon, noon))
	cause := lettersOf(t, h.Store, "a")[0].Cause
	assert.True(t, strings.HasPrefix("again "+long, cause))
	assert.Greater(t, len(cause), dlq.MaxCauseBytes-3)
	assert.LessOrEqual(t, len(cause), dlq.MaxCauseBytes)

	require.NoError(t, h.Store.Failed(t.Context(), failed, "bytes \xff and nul \x00.", noon, noon))
	assert.Equal(t, "bytes \uFFFD and nul \uFFFD.", lettersOf(t, h.Store, "a")[0].Cause)
}
