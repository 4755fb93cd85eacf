package eventstoretest

import (
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// A stream's versions are 1, 2, 3 … without holes.
func contiguous() []clause {
	return []clause{
		{Name: "batches of any size follow each other", Check: batchesFollow},
		{Name: "failed appends leave no hole", Check: failuresLeaveNoHole},
		{Name: "racing writers without expectation leave no hole", Check: racersLeaveNoHole},
		{Name: "a version that is given has to fit", Check: givenVersion},
	}
}

func batchesFollow(t T, s subject) {
	a, b := s.stream(), s.stream()
	var written, batches uint64
	for _, n := range []uint64{1, 3, 1, 10, 2, 64} {
		result, err := s.Append(t.Context(), to(a, eventstore.Any(), drafts(int(n))...), to(b, eventstore.Any(), draft()))
		require.NoError(t, err)
		written += n
		batches++
		require.Equal(t, []uint64{written, batches}, result.Versions)
	}
	require.Equal(t, oneTo(81), versionsOf(s.read(t, a)))
	require.Equal(t, oneTo(6), versionsOf(s.read(t, b)))
}

func failuresLeaveNoHole(t T, s subject) {
	stream := s.stream()
	for n := 2; n <= 10; n += 2 {
		s.append(t, stream, eventstore.Any(), drafts(2)...)
		_, err := s.Append(t.Context(), to(stream, eventstore.NoStream(), drafts(2)...))
		require.ErrorIs(t, err, eventstore.ErrConflict)
		invalid := drafts(2)
		invalid[1].Type = ""
		_, err = s.Append(t.Context(), to(stream, eventstore.Any(), invalid...))
		require.ErrorIs(t, err, eventstore.ErrInvalid)
		twice := drafts(2)
		twice[1].ID = s.readN(t, stream, n)[0].ID
		_, err = s.Append(t.Context(), to(stream, eventstore.Any(), twice...))
		require.ErrorIs(t, err, eventstore.ErrDuplicateEvent)
	}
	require.Equal(t, oneTo(10), versionsOf(s.read(t, stream)))
}

func racersLeaveNoHole(t T, s subject) {
	const writers, appends = 8, 10
	shared := s.stream()
	ctx, cancel := s.patiently(t)
	defer cancel()
	requireNone(t, promisetest.Race(writers, func(i int) error {
		own := s.stream()
		for n := range appends {
			_, err := s.Append(ctx, to(shared, eventstore.Any(), drafts(1+(i+n)%3)...), to(own, eventstore.Any(), draft()))
			if err != nil {
				return err
			}
		}
		return nil
	}))
	stored := s.read(t, shared)
	require.Equal(t, oneTo(len(stored)), versionsOf(stored))
	require.Len(t, s.readAll(t, eventstore.Query{}), len(stored)+writers*appends)
}

func givenVersion(t T, s subject) {
	stream := s.seed(t, 2)
	fitting := drafts(2)
	fitting[0].AggregateVersion, fitting[1].AggregateVersion = 3, 4
	s.append(t, stream, eventstore.Exact(2), fitting...)
	for _, version := range []uint64{1, 4, 6, 7} {
		unfit := draft()
		unfit.AggregateVersion = version
		_, err := s.Append(t.Context(), to(stream, eventstore.Exact(4), unfit))
		require.ErrorIs(t, err, eventstore.ErrInvalid, "version %d", version)
	}
	require.Equal(t, oneTo(4), versionsOf(s.read(t, stream)))
}
