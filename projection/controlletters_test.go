package projection_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// park parks the events of a new stream in a version's projection, the first as
// failed, and returns the sequence's key and the positions.
func (d *desk) park(t *testing.T, name registry.Name, n int) (key string, positions []uint64) {
	t.Helper()
	id := uuid.New()
	last := noteOn(t, d.Store, id, n)
	key = "Note/" + id.String()
	for e, err := range d.ReadAll(t.Context(), eventstore.Query{AggregateID: id, Until: last}) {
		require.NoError(t, err)
		l := dlq.Letter{
			Sequence: dlq.Sequence{Projection: name.Projection, Version: name.Version, Key: key},
			Position: e.Position, EventID: e.ID, EventType: e.Type, ParkedAt: noon.Add(-time.Hour),
		}
		if len(positions) == 0 {
			l.Cause, l.Attempts, l.TriedAt = "no such column", 3, l.ParkedAt
		}
		require.NoError(t, d.DeadLetters().Park(t.Context(), l))
		positions = append(positions, e.Position)
	}
	return key, positions
}

// due returns when the sequences of a version are tried, by key.
func (d *desk) due(t *testing.T, name registry.Name) map[string]time.Time {
	t.Helper()
	parked, err := d.List(t.Context(), dlq.Filter{Projection: name.Projection, Version: name.Version})
	require.NoError(t, err)
	due := make(map[string]time.Time)
	for _, p := range parked {
		due[p.Sequence.Key] = p.NextRetry
	}
	return due
}

func TestRetry(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, paused)
	n, err := d.Retry(asAnna(t), v1)
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Empty(t, d.book.all(), "there was nothing to change")

	a, _ := d.park(t, v1, 2)
	b, _ := d.park(t, v1, 1)
	c, _ := d.park(t, v2, 1)
	n, err = d.Retry(asAnna(t), v1, a)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, map[string]time.Time{a: noon, b: {}}, d.due(t, v1))
	n, err = d.Retry(asAnna(t), v1)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, map[string]time.Time{a: noon, b: noon}, d.due(t, v1))
	assert.Equal(t, map[string]time.Time{c: {}}, d.due(t, v2), "of another version")

	commands := d.book.all()
	require.Len(t, commands, 2)
	assert.Equal(t, projection.Command{ID: commands[0].ID, Kind: projection.RetryCommand, Name: v1, Actor: "user:anna", At: noon, Keys: []string{a}}, commands[0])
	assert.Empty(t, commands[1].Keys)
}

func TestRetryIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	_, err := d.Retry(t.Context(), v1)
	require.ErrorIs(t, err, registry.ErrNotFound)
	d.has(t, v1, registry.Live, nil)
	d.has(t, v2, registry.Replaced, nil)
	d.has(t, v3, registry.Retired, nil)
	noteOn(t, d.Store, uuid.New(), 1)
	key, positions := d.park(t, v1, 2)
	d.park(t, v2, 1)

	_, err = d.Retry(t.Context(), registry.Name{Version: 1})
	require.ErrorIs(t, err, event.ErrInvalid)
	_, err = d.Retry(event.WithActor(t.Context(), "nobody in particular"), v1)
	require.ErrorIs(t, err, event.ErrInvalid)
	for _, over := range []registry.Name{v2, v3} {
		_, err = d.Retry(t.Context(), over)
		require.ErrorIs(t, err, projection.ErrNotRunning)
		_, err = d.RetryUntil(t.Context(), over, 1)
		require.ErrorIs(t, err, projection.ErrNotRunning)
	}
	_, err = d.Retry(t.Context(), v1, key, "Note/1")
	require.ErrorIs(t, err, dlq.ErrNotFound)
	require.EqualError(t, err, `sequence "Note/1" of projection titles v1 is not parked: no such letter`)
	_, err = d.Retry(t.Context(), v1, "")
	require.ErrorIs(t, err, event.ErrInvalid)
	_, err = d.RetryUntil(t.Context(), v1, 0)
	require.EqualError(t, err, "invalid position: must be that of a letter, from 1; Retry has no bound")
	_, err = d.RetryUntil(t.Context(), v1, positions[0]-1, key)
	require.ErrorIs(t, err, event.ErrInvalid)
	require.ErrorContains(t, err, "nothing would be tried")
	assert.Equal(t, map[string]time.Time{key: {}}, d.due(t, v1))
	assert.Empty(t, d.book.all())

	d.book.refuse = 1
	n, err := d.Retry(t.Context(), v1)
	require.ErrorIs(t, err, projection.ErrNotRecorded)
	assert.Zero(t, n)
	assert.Equal(t, map[string]time.Time{key: {}}, d.due(t, v1))
}

func TestRetryOfAllProjections(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := registry.Name{Projection: "counts", Version: 1}
	for name, state := range map[registry.Name]registry.State{v1: registry.Replaced, v2: registry.Live, v3: registry.Building, other: registry.Live} {
		d.has(t, name, state, nil)
		d.park(t, name, 1)
	}
	n, err := d.RetryAll(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	assert.Len(t, d.book.all(), 3)
	for _, at := range d.due(t, v1) {
		assert.Zero(t, at, "it does not run")
	}
	d.letter.broken = eventstore.ErrUnavailable
	_, err = d.RetryAll(t.Context())
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
}

func TestRetryUntil(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	a, of := d.park(t, v1, 3)
	b, behind := d.park(t, v1, 3)
	n, err := d.RetryUntil(asAnna(t), v1, of[1])
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, map[string]uint64{a: of[1]}, d.letter.until)
	assert.Equal(t, map[string]time.Time{a: noon, b: {}}, d.due(t, v1), "no letter of the other is as old")

	n, err = d.RetryUntil(asAnna(t), v1, behind[0], b)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.Equal(t, map[string]uint64{a: of[1], b: behind[0]}, d.letter.until)
	recorded := d.book.all()[1]
	assert.Equal(t, projection.RetryUntilCommand, recorded.Kind)
	assert.Equal(t, behind[0], recorded.Position)
}

func TestRetryWhileARunnerEmptiesASequence(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	d.park(t, v1, 1)
	d.park(t, v1, 1)
	first := true
	d.letter.before = func() {
		if first {
			require.NoError(t, d.DeadLetters().Clear(t.Context(), "titles", 1))
		}
		first = false
	}
	n, err := d.Retry(t.Context(), v1)
	require.NoError(t, err)
	assert.Zero(t, n)
}

func TestRetryThatFails(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	key, _ := d.park(t, v1, 1)
	d.letter.broken = eventstore.ErrUnavailable
	_, err := d.Retry(t.Context(), v1)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorContains(t, err, key)
	require.Len(t, d.book.all(), 2)
	assert.Equal(t, err, d.book.all()[1].Err)
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	key, positions := d.park(t, v1, 3)
	require.NoError(t, d.Discard(asAnna(t), v1, key, "a test order"))
	require.NoError(t, d.DiscardAt(asAnna(t), v1, key, positions[1], "another one"))
	err := d.DiscardAt(asAnna(t), v1, key, positions[1], "another one")
	require.ErrorIs(t, err, dlq.ErrNotFound)
	require.ErrorContains(t, err, "is at position 3, not at 2: look again")
	assert.Equal(t, map[string]time.Time{key: noon}, d.due(t, v1), "what is behind is tried")
	require.NoError(t, d.Discard(asAnna(t), v1, key, "the last"))
	require.ErrorIs(t, d.Discard(asAnna(t), v1, key, "the last"), dlq.ErrNotFound)

	gone, err := d.Discarded(t.Context(), v1)
	require.NoError(t, err)
	require.Len(t, gone, 3)
	commands := d.book.all()
	require.Len(t, commands, 3)
	for i, one := range gone {
		assert.Equal(t, event.User("anna"), one.By)
		assert.Equal(t, positions[i], one.Letter.Position)
		assert.Equal(t, noon, one.DiscardedAt)
		assert.Equal(t, projection.Command{
			ID: commands[i].ID, Kind: projection.DiscardCommand, Name: v1, Actor: "user:anna", At: noon, Keys: []string{key},
			Reason: one.Reason, Position: positions[i], EventID: one.Letter.EventID,
		}, commands[i])
	}
}

// Whoever discards a letter means the one that was there, not the next.
func TestDiscardOfALetterThatSucceeds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	key, positions := d.park(t, v1, 2)
	d.book.meet = func(cmd projection.Command) {
		if cmd.Err == nil {
			l := dlq.Letter{Sequence: dlq.Sequence{Projection: "titles", Version: 1, Key: key}, Position: positions[0]}
			require.NoError(t, d.DeadLetters().Remove(t.Context(), l))
		}
	}
	require.ErrorIs(t, d.Discard(t.Context(), v1, key, "a test order"), dlq.ErrNotFound)
	assert.Len(t, d.book.all(), 2)
	shown, err := d.Show(t.Context(), v1, key, 0)
	require.NoError(t, err)
	require.Len(t, shown, 1)
	assert.Equal(t, positions[1], shown[0].Letter.Position)
}

func TestShow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	key, positions := d.park(t, v1, 3)
	shown, err := d.Show(t.Context(), v1, key, 2)
	require.NoError(t, err)
	require.Len(t, shown, 2)
	for i, one := range shown {
		assert.Equal(t, positions[i], one.Letter.Position)
		assert.Equal(t, one.Letter.EventID, one.Event.ID)
		assert.JSONEq(t, `{"text":"x"}`, string(one.Event.Data))
	}
	assert.Equal(t, "no such column", shown[0].Letter.Cause)

	_, err = d.Show(t.Context(), v1, "Note/1", 0)
	require.ErrorIs(t, err, dlq.ErrNotFound)
	_, err = d.Show(t.Context(), v1, "", 0)
	require.ErrorIs(t, err, event.ErrInvalid)
	_, err = d.Show(t.Context(), v1, key, -1)
	require.EqualError(t, err, "invalid limit: must not be negative; 0 means all")
}

// A store that was restored from an older copy has other events at positions.
func TestShowALetterWithoutItsEvent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	at := noteOn(t, d.Store, uuid.New(), 1)
	for _, position := range []uint64{at, at + 100} {
		require.NoError(t, d.DeadLetters().Park(t.Context(), dlq.Letter{
			Sequence: dlq.Sequence{Projection: "titles", Version: 1, Key: "k"},
			Position: position, EventID: uuid.New(), EventType: "Noted", ParkedAt: noon,
		}))
	}
	shown, err := d.Show(t.Context(), v1, "k", 0)
	require.NoError(t, err)
	require.Len(t, shown, 2)
	assert.Zero(t, shown[0].Event)
	assert.Zero(t, shown[1].Event)
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.park(t, v1, 2)
	d.park(t, v1, 1)
	stats, err := d.Statistics(t.Context(), v1)
	require.NoError(t, err)
	assert.Equal(t, dlq.Stats{Sequences: 2, Letters: 3, Oldest: noon.Add(-time.Hour)}, stats)
	_, err = d.Statistics(t.Context(), registry.Name{})
	require.ErrorIs(t, err, event.ErrInvalid)
	_, err = d.Discarded(t.Context(), registry.Name{})
	require.ErrorIs(t, err, event.ErrInvalid)
}

func TestLettersOfAStoreThatIsClosed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.has(t, v1, registry.Live, nil)
	key, _ := d.park(t, v1, 1)
	require.NoError(t, d.Close())
	_, listed := d.List(t.Context(), dlq.Filter{})
	_, shown := d.Show(t.Context(), v1, key, 0)
	_, summed := d.Statistics(t.Context(), v1)
	_, gone := d.Discarded(t.Context(), v1)
	for _, err := range []error{listed, shown, summed, gone, d.Discard(t.Context(), v1, key, "why")} {
		require.ErrorIs(t, err, eventstore.ErrClosed)
	}
}
