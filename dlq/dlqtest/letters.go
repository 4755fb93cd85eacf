package dlqtest

import (
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/internal/promisetest"
)

const (
	projection = "titles"
	version    = 1
)

// noon is when everything here happens, on a microsecond.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)

func sequence(key string) dlq.Sequence {
	return dlq.Sequence{Projection: projection, Version: version, Key: key}
}

// letter returns the letter of a position, parked that many seconds after noon
// (for positions below a thousand).
func letter(key string, position uint64) dlq.Letter {
	return dlq.Letter{
		Sequence:  sequence(key),
		Position:  position,
		EventID:   uuid.NewSHA1(uuid.NameSpaceOID, []byte(strconv.FormatUint(position, 10))),
		EventType: "DocumentEdited",
		ParkedAt:  at(int(position % 1000)),
	}
}

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func park(t promisetest.T, s dlq.Store, letters ...dlq.Letter) {
	t.Helper()
	require.NoError(t, s.Park(t.Context(), letters...))
}

func lettersOf(t promisetest.T, s dlq.Store, key string) []dlq.Letter {
	t.Helper()
	letters, err := s.Letters(t.Context(), sequence(key), 0)
	require.NoError(t, err)
	return letters
}

func positions(t promisetest.T, s dlq.Store, key string) []uint64 {
	t.Helper()
	var positions []uint64
	for _, l := range lettersOf(t, s, key) {
		positions = append(positions, l.Position)
	}
	return positions
}

// parked reports which of keys are parked.
func parked(t promisetest.T, s dlq.Store, keys ...string) []string {
	t.Helper()
	found, err := s.Parked(t.Context(), projection, version, keys)
	require.NoError(t, err)
	var names []string
	for _, key := range keys {
		if found[key] {
			names = append(names, key)
		}
	}
	return names
}

// only returns the one parked sequence.
func only(t promisetest.T, s dlq.Store) dlq.Parked {
	t.Helper()
	found, err := s.Sequences(t.Context(), dlq.Filter{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func keysOf(t promisetest.T, s dlq.Store, f dlq.Filter) []string {
	t.Helper()
	found, err := s.Sequences(t.Context(), f)
	require.NoError(t, err)
	var keys []string
	for i := range found {
		keys = append(keys, found[i].Sequence.Key)
	}
	return keys
}

func statsOf(t promisetest.T, s dlq.Store) dlq.Stats {
	t.Helper()
	found, err := s.Stats(t.Context(), projection, version)
	require.NoError(t, err)
	return found
}

func orderedByPosition(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 300))
	park(t, h.Store, letter("a", 5), letter("a", 1<<33))
	park(t, h.Store, letter("a", 20), letter("a", 1000))
	assert.Equal(t, []uint64{5, 20, 300, 1000, 1 << 33}, positions(t, h.Store, "a"))
	assert.Equal(t, uint64(5), only(t, h.Store).First.Position)
}

func roundTrip(t promisetest.T, h Harness) {
	first := letter("Document/Ünïcode \"quoted\"", 1<<40)
	first.Cause, first.Attempts, first.Redrives, first.TriedAt = "handler: title is\n\tnot known ✗", 3, 2, at(9)
	waiting := letter(first.Sequence.Key, 1<<40+1)
	waiting.ParkedAt = noon.Add(999).In(time.FixedZone("elsewhere", 3600))
	park(t, h.Store, first, waiting)
	waiting.ParkedAt = noon
	assert.Equal(t, []dlq.Letter{first, waiting}, lettersOf(t, h.Store, first.Sequence.Key))
	assert.Equal(t, dlq.Parked{Sequence: first.Sequence, Letters: 2, First: first}, only(t, h.Store))
}

func limited(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1), letter("a", 2), letter("a", 3))
	for limit, want := range []int{3, 1, 2, 3, 3} {
		letters, err := h.Store.Letters(t.Context(), sequence("a"), limit)
		require.NoError(t, err)
		require.Len(t, letters, want)
		assert.Equal(t, uint64(1), letters[0].Position)
	}
	assert.Empty(t, lettersOf(t, h.Store, "nobody"))
}

func parkedAgain(t promisetest.T, h Harness) {
	first := letter("a", 1)
	first.Cause, first.Attempts, first.TriedAt = "first cause", 2, at(1)
	park(t, h.Store, first)
	again := letter("a", 1)
	again.Cause, again.ParkedAt = "another cause", at(50)
	park(t, h.Store, again, letter("a", 2), again)
	assert.Equal(t, []dlq.Letter{first, letter("a", 2)}, lettersOf(t, h.Store, "a"))
	assert.Equal(t, 2, statsOf(t, h.Store).Letters)
	park(t, h.Store)
}

func racingParks(t promisetest.T, h Harness) {
	for _, err := range promisetest.Race(8, func(i int) error {
		return h.Store.Park(t.Context(), letter("a", 1), letter("a", uint64(2+i%2)))
	}) {
		require.NoError(t, err)
	}
	assert.Equal(t, []uint64{1, 2, 3}, positions(t, h.Store, "a"))
}

func independent(t promisetest.T, h Harness) {
	keys := []string{"a", "A", "a ", "a/b", "é", "e\u0301", "%", "_"}
	for i, key := range keys {
		park(t, h.Store, letter(key, uint64(i)+1))
	}
	elsewhere := letter("a", 50)
	elsewhere.Sequence.Projection = "Titles"
	newer := letter("a", 60)
	newer.Sequence.Version = 2
	park(t, h.Store, elsewhere, newer)
	for i, key := range keys {
		assert.Equal(t, []uint64{uint64(i) + 1}, positions(t, h.Store, key), key)
	}
	require.NoError(t, h.Store.Remove(t.Context(), letter("a", 1)))
	assert.Equal(t, keys[1:], parked(t, h.Store, append([]string{"b", "nobody"}, keys...)...))
	left, err := h.Store.Letters(t.Context(), newer.Sequence, 0)
	require.NoError(t, err)
	assert.Equal(t, []dlq.Letter{newer}, left)
}

func parkedTogether(t promisetest.T, h Harness) {
	park(t, h.Store, letter("a", 1), letter("b", 2), letter("a", 3), letter("c", 4))
	assert.Equal(t, []uint64{1, 3}, positions(t, h.Store, "a"))
	assert.Equal(t, []uint64{2}, positions(t, h.Store, "b"))
	assert.Equal(t, []uint64{4}, positions(t, h.Store, "c"))
}
