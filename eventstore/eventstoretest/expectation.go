package eventstoretest

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// A failed expectation is a *ConflictError, stores nothing and burns no
// position. Under any number of racing writers exactly one wins each version.
// An expectation on a stream that the append does not write holds too.
func expectations() []clause {
	return []clause{
		{Name: "each expectation holds for the streams that it should", Check: eachExpectation},
		{Name: "a conflict says what was expected of which stream and what was found", Check: conflictFields},
		{Name: "a conflict burns no position", Check: conflictBurnsNothing},
		{Name: "an expectation on a stream that is not written", Check: checkedOnly},
		{Name: "racing writers: exactly one wins each version", Check: oneWinner},
		{Name: "of two appends that each expect the other not to have happened one wins", Check: writeSkew},
		{Name: "racing writers and readers are linearizable", Check: linearizable},
	}
}

func eachExpectation(t T, s subject) {
	always, none, exists, exact := eventstore.Any, eventstore.NoStream, eventstore.StreamExists, eventstore.Exact
	for _, c := range []struct {
		version int
		holds   []eventstore.Expectation
		fails   []eventstore.Expectation
	}{
		{0, []eventstore.Expectation{always(), none(), exact(0)}, []eventstore.Expectation{exists(), exact(1), exact(math.MaxUint64)}},
		{1, []eventstore.Expectation{always(), exists(), exact(1)}, []eventstore.Expectation{none(), exact(0), exact(2)}},
		{3, []eventstore.Expectation{always(), exists(), exact(3)}, []eventstore.Expectation{none(), exact(2), exact(4), exact(math.MaxInt64)}},
	} {
		for _, expected := range c.holds {
			stream := s.at(t, c.version)
			e := draft()
			result := s.append(t, stream, expected, e)
			require.Equal(t, []uint64{uint64(c.version) + 1}, result.Versions, "%s at version %d", expected, c.version)
			require.Equal(t, e.ID, s.readN(t, stream, c.version+1)[c.version].ID)
		}
		for _, expected := range c.fails {
			stream := s.at(t, c.version)
			_, err := s.Append(t.Context(), to(stream, expected, draft()))
			require.ErrorIs(t, err, eventstore.ErrConflict, "%s at version %d", expected, c.version)
			require.Len(t, s.read(t, stream), c.version)
		}
	}
}

// at returns a stream that is at version n.
func (s subject) at(t T, n int) eventstore.Stream {
	t.Helper()
	if n == 0 {
		return s.stream()
	}
	return s.seed(t, n)
}

func conflictFields(t T, s subject) {
	stream := s.seed(t, 3)
	for _, expected := range []eventstore.Expectation{eventstore.NoStream(), eventstore.Exact(2), eventstore.Exact(7)} {
		result, err := s.Append(t.Context(), to(s.stream(), eventstore.Any(), draft()), to(stream, expected, draft()))
		var conflict *eventstore.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, eventstore.ConflictError{Stream: stream, Expected: expected, Actual: 3}, *conflict)
		require.False(t, eventstore.IsRetryable(err), "the decision has to be made again")
		require.Zero(t, result)
	}
	absent := s.stream()
	_, err := s.Append(t.Context(), to(absent, eventstore.StreamExists(), draft()))
	var conflict *eventstore.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, eventstore.ConflictError{Stream: absent, Expected: eventstore.StreamExists()}, *conflict)
}

func conflictBurnsNothing(t T, s subject) {
	stream := s.stream()
	first := s.append(t, stream, eventstore.Any(), draft()).Position
	second := s.append(t, stream, eventstore.Any(), draft()).Position
	for range 5 {
		for _, n := range []int{1, 3} {
			_, err := s.Append(t.Context(), to(stream, eventstore.NoStream(), drafts(n)...))
			require.ErrorIs(t, err, eventstore.ErrConflict)
		}
		_, err := s.Append(t.Context(), to(s.stream(), eventstore.Any(), draft()), to(stream, eventstore.Exact(9), draft()))
		require.ErrorIs(t, err, eventstore.ErrConflict)
	}
	third := s.append(t, stream, eventstore.Any(), draft()).Position
	require.Equal(t, second-first, third-second)
}

func checkedOnly(t T, s subject) {
	account, order := s.seed(t, 2), s.stream()
	result, err := s.Append(t.Context(), to(account, eventstore.Exact(2)), to(order, eventstore.NoStream(), draft()))
	require.NoError(t, err)
	require.Equal(t, []uint64{0, 1}, result.Versions)
	require.Len(t, s.read(t, account), 2)

	s.requireUnchanged(t, func() {
		_, err := s.Append(t.Context(), to(order, eventstore.Exact(1), draft()), to(account, eventstore.Exact(1)))
		var conflict *eventstore.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, eventstore.ConflictError{Stream: account, Expected: eventstore.Exact(1), Actual: 2}, *conflict)
	})
	s.requireUnchanged(t, func() {
		result, err := s.Append(t.Context(), to(account, eventstore.StreamExists()), to(s.stream(), eventstore.NoStream()))
		require.NoError(t, err)
		require.Zero(t, result.Position)
		require.Equal(t, []uint64{0, 0}, result.Versions)
		_, err = s.Append(t.Context(), to(account, eventstore.NoStream()))
		require.ErrorIs(t, err, eventstore.ErrConflict)
	})
}

func oneWinner(t T, s subject) {
	const writers, versions = 8, 12
	stream := s.stream()
	ctx, cancel := s.patiently(t)
	defer cancel()
	var won []uuid.UUID
	for version := range uint64(versions) {
		events := drafts(writers)
		errs := promisetest.Race(writers, func(i int) error {
			_, err := s.Append(ctx, to(stream, eventstore.Exact(version), events[i]))
			return err
		})
		for i, err := range errs {
			if err == nil {
				won = append(won, events[i].ID)
			} else {
				require.ErrorIs(t, err, eventstore.ErrConflict)
			}
		}
		require.Len(t, won, int(version)+1, "winners of version %d", version+1)
	}
	stored := s.read(t, stream)
	require.Equal(t, oneTo(versions), versionsOf(stored))
	require.Equal(t, won, idsOf(stored))
}

func writeSkew(t T, s subject) {
	ctx, cancel := s.patiently(t)
	defer cancel()
	for range 20 {
		a, b := s.stream(), s.stream()
		errs := promisetest.Race(2, func(i int) error { return s.insteadOf(ctx, i == 0, a, b) })
		require.NotEqual(t, errs[0] == nil, errs[1] == nil, "%v and %v", errs[0], errs[1])
		require.ErrorIs(t, errors.Join(errs...), eventstore.ErrConflict)
		require.Len(t, append(s.read(t, a), s.read(t, b)...), 1)
	}
}

// insteadOf writes to one of two streams if the other is not there.
func (s subject) insteadOf(ctx context.Context, first bool, a, b eventstore.Stream) error {
	if !first {
		a, b = b, a
	}
	_, err := s.Append(ctx, to(a, eventstore.NoStream(), draft()), to(b, eventstore.NoStream()))
	if err != nil {
		return fmt.Errorf("append to %s: %w", a, err)
	}
	return nil
}
