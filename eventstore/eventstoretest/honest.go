package eventstoretest

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// Success means stored and durable. An append whose answer was lost may be
// sent again: the same event ids at the same versions answer success once more
// and store nothing twice. When the caller's deadline ends in the unknown, the
// error is ErrOutcomeUnknown, and sending the same again is safe.
func honest() []clause {
	return []clause{
		{Name: "what was appended is there for everybody", Check: thereForEverybody},
		{Name: "an append that is sent again is answered as at first", Check: sentAgain},
		{Name: "an append of several streams that is sent again", Check: severalSentAgain},
		{Name: "an append that many send at once is stored once", Check: sentByMany},
		{Name: "an id that is stored at another place is refused", Check: storedElsewhere},
		{Name: "an append that is stored in part is refused", Check: storedInPart},
		{Name: "a lost answer: sending again stores once", Check: lostAnswer},
		{Name: "a cancelled append: the error tells whether it may be stored", Check: cancelledAppend},
		{Name: "whatever is done agrees with a model", Check: agreesWithModel},
	}
}

func thereForEverybody(t T, s subject) {
	other := s.other()
	stream, events := s.stream(), drafts(3)
	result := s.append(t, stream, eventstore.NoStream(), events...)
	got, err := collect(other.ReadStream(t.Context(), stream, eventstore.StreamQuery{}))
	require.NoError(t, err)
	requireStored(t, stream, 0, result, events, got)
	require.Equal(t, s.ID(), other.ID())
	_, err = other.Append(t.Context(), to(stream, eventstore.NoStream(), draft()))
	require.ErrorIs(t, err, eventstore.ErrConflict)
	again, err := other.Append(t.Context(), to(stream, eventstore.NoStream(), events...))
	require.NoError(t, err)
	require.Equal(t, result, again)
}

func sentAgain(t T, s subject) {
	for _, c := range []struct {
		version  int
		expected eventstore.Expectation
	}{
		{0, eventstore.NoStream()},
		{0, eventstore.Exact(0)},
		{0, eventstore.Any()},
		{2, eventstore.Any()},
		{2, eventstore.Exact(2)},
		{2, eventstore.StreamExists()},
	} {
		stream, events := s.at(t, c.version), drafts(3)
		first := s.append(t, stream, c.expected, events...)
		s.requireUnchanged(t, func() {
			require.Equal(t, first, s.append(t, stream, c.expected, events...), c.expected)
		})
		s.append(t, stream, eventstore.Any(), draft())
		s.append(t, s.stream(), eventstore.Any(), draft())
		s.requireUnchanged(t, func() {
			require.Equal(t, first, s.append(t, stream, c.expected, events...), "later: %s", c.expected)
		})
	}
}

func severalSentAgain(t T, s subject) {
	a, b, checked := s.seed(t, 1), s.stream(), s.stream()
	appends := []eventstore.Append{
		to(a, eventstore.Exact(1), drafts(2)...), to(checked, eventstore.NoStream()), to(b, eventstore.NoStream(), drafts(3)...),
	}
	first, err := s.Append(t.Context(), appends...)
	require.NoError(t, err)
	s.append(t, checked, eventstore.NoStream(), draft()) // was true then
	s.requireUnchanged(t, func() {
		again, err := s.Append(t.Context(), appends...)
		require.NoError(t, err)
		require.Equal(t, first, again)
	})
}

func sentByMany(t T, s subject) {
	const senders = 8
	ctx, cancel := s.patiently(t)
	defer cancel()
	for range 5 {
		stream, events := s.stream(), drafts(2)
		var results sync.Map
		requireNone(t, promisetest.Race(senders, func(i int) error {
			result, err := s.Append(ctx, to(stream, eventstore.NoStream(), slices.Clone(events)...))
			results.Store(i, result)
			return err
		}))
		first, _ := results.Load(0)
		for i := range senders {
			result, _ := results.Load(i)
			require.Equal(t, first, result)
		}
		require.Equal(t, idsOf(events), idsOf(s.read(t, stream)))
	}
}

func storedElsewhere(t T, s subject) {
	stream, events := s.stream(), drafts(3)
	s.append(t, stream, eventstore.NoStream(), events...)
	existing := s.seed(t, 2)
	for name, a := range map[string]eventstore.Append{
		"another stream":     to(s.stream(), eventstore.NoStream(), events[0]),
		"a stream that is":   to(existing, eventstore.Exact(2), events[0]),
		"another version":    to(stream, eventstore.Exact(3), events[0]),
		"another order":      to(stream, eventstore.NoStream(), events[1], events[0]),
		"behind a new event": to(s.stream(), eventstore.NoStream(), draft(), events[2]),
	} {
		s.requireUnchanged(t, func() {
			_, err := s.Append(t.Context(), a)
			requireDuplicate(t, err, a.Stream, idsOf(events), name)
		})
	}
}

func storedInPart(t T, s subject) {
	stream, events := s.stream(), drafts(2)
	s.append(t, stream, eventstore.NoStream(), events...)
	longer := append(slices.Clone(events), draft())
	s.requireUnchanged(t, func() {
		_, err := s.Append(t.Context(), to(stream, eventstore.NoStream(), longer...))
		requireDuplicate(t, err, stream, idsOf(events), "more events")
		_, err = s.Append(t.Context(), to(stream, eventstore.NoStream(), events...), to(s.stream(), eventstore.NoStream(), draft()))
		requireDuplicate(t, err, stream, idsOf(events), "more streams")
	})
}

func requireDuplicate(t T, err error, stream eventstore.Stream, ids []uuid.UUID, name string) {
	t.Helper()
	var duplicate *eventstore.DuplicateEventError
	require.ErrorAs(t, err, &duplicate, name)
	require.ErrorIs(t, err, eventstore.ErrDuplicateEvent, name)
	require.Contains(t, ids, duplicate.EventID, name)
	require.Equal(t, stream, duplicate.Stream, name)
	require.False(t, eventstore.IsRetryable(err), name)
}

func lostAnswer(t T, s subject) {
	faults := NewFaults(s.Store)
	for _, moment := range []Moment{Before, After} {
		stream, events := s.seed(t, 1), drafts(2)
		lost := &eventstore.OutcomeUnknownError{Stream: stream, Err: errors.New("connection reset")}
		faults.FailAppend(moment, lost)
		_, err := faults.Append(t.Context(), to(stream, eventstore.Exact(1), events...))
		require.ErrorIs(t, err, eventstore.ErrOutcomeUnknown)
		require.True(t, eventstore.IsRetryable(err))
		result, err := faults.Append(t.Context(), to(stream, eventstore.Exact(1), events...))
		require.NoError(t, err)
		require.Equal(t, []uint64{3}, result.Versions)
		requireStored(t, stream, 1, result, events, s.readN(t, stream, 3)[1:])
	}
}

func cancelledAppend(t T, s subject) {
	for range 60 {
		stream, events := s.stream(), drafts(2)
		err := s.cancelSomewhere(t.Context(), stream, events)
		if err != nil && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			require.ErrorIs(t, err, context.Canceled)
			require.Empty(t, s.read(t, stream), "the error said that nothing was stored")
		}
		s.append(t, stream, eventstore.NoStream(), events...)
		require.Equal(t, idsOf(events), idsOf(s.read(t, stream)))
	}
}

// cancelSomewhere appends under a context that is cancelled at a random moment.
func (s subject) cancelSomewhere(ctx context.Context, stream eventstore.Stream, events []event.Event) error {
	ctx, cancel := context.WithCancel(ctx)
	var cancelled sync.WaitGroup
	cancelled.Go(func() {
		for range rand.IntN(1 << rand.IntN(9)) {
			runtime.Gosched()
		}
		cancel()
	})
	defer cancelled.Wait()
	_, err := s.Append(ctx, to(stream, eventstore.NoStream(), events...))
	return err
}
