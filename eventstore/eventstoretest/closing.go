package eventstoretest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// Use after close is ErrClosed; Close may be called twice and from two
// goroutines.
func closing() []clause {
	return []clause{
		{Name: "every call after close says that the store is closed", Check: usedAfterClose},
		{Name: "close may be called twice", Check: closedTwice},
		{Name: "close may be called from many goroutines", Check: closedByMany},
		{Name: "close ends reads, appends and waits in progress", Check: closedInUse},
	}
}

func usedAfterClose(t T, s subject) {
	stream := s.seed(t, 2)
	limits, id := s.Limits(), s.ID()
	before := s.reads(t.Context(), stream)
	require.NoError(t, s.Close())
	for name, events := range before {
		requireFailsOnce(t, events, eventstore.ErrClosed, name+", asked for before")
	}
	for name, events := range s.reads(t.Context(), stream) {
		requireFailsOnce(t, events, eventstore.ErrClosed, name)
	}
	_, err := s.Append(t.Context(), to(stream, eventstore.Any(), draft()))
	require.ErrorIs(t, err, eventstore.ErrClosed)
	require.False(t, eventstore.IsRetryable(err))
	_, err = s.Append(t.Context(), to(stream, eventstore.Exact(2)))
	require.ErrorIs(t, err, eventstore.ErrClosed)
	_, err = s.Head(t.Context())
	require.ErrorIs(t, err, eventstore.ErrClosed)
	_, err = s.Wait(t.Context(), 0)
	require.ErrorIs(t, err, eventstore.ErrClosed, "the head is above already")
	_, err = s.Wait(t.Context(), 1<<40)
	require.ErrorIs(t, err, eventstore.ErrClosed)
	require.Equal(t, id, s.ID())
	require.Equal(t, limits, s.Limits())
}

func closedTwice(t T, s subject) {
	s.seed(t, 1)
	for range 3 {
		require.NoError(t, s.Close())
	}
	_, err := s.Head(t.Context())
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

func closedByMany(t T, s subject) {
	s.seed(t, 1)
	requireNone(t, promisetest.Race(10, func(int) error { return s.Close() }))
	_, err := s.Head(t.Context())
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

func closedInUse(t T, s subject) {
	stream := s.seed(t, 50)
	ctx, cancel := s.patiently(t)
	defer cancel()
	inUse := make(chan struct{}, 4)
	using := []func() error{
		func() error { _, err := s.Wait(ctx, 1<<40); return err },
		func() error { return s.readForEver(ctx, stream, inUse) },
		func() error { return s.appendForEver(ctx, s.stream(), inUse) },
		func() error { return s.appendForEver(ctx, stream, inUse) },
	}
	busy := sync.OnceFunc(func() { // for both who close: after the first close nobody signals any more
		for range 2 { // whoever signals twice is in the middle of it
			<-inUse
		}
	})
	errs := promisetest.Race(len(using)+2, func(i int) error {
		if i < len(using) {
			return using[i]()
		}
		busy()
		return s.Close()
	})
	for i, err := range errs {
		if i >= len(using) {
			require.NoError(t, err)
			continue
		}
		require.True(t, errors.Is(err, eventstore.ErrClosed) || errors.Is(err, eventstore.ErrOutcomeUnknown), "user %d: %v", i, err)
	}
}

func (s subject) readForEver(ctx context.Context, stream eventstore.Stream, inUse chan<- struct{}) error {
	for {
		n := 0
		for _, err := range s.ReadStream(ctx, stream, eventstore.StreamQuery{To: 50}) {
			if err != nil {
				return err
			}
			n++
			signal(inUse)
		}
		if n != 50 {
			return fmt.Errorf("a read ended after %d events without an error", n)
		}
	}
}

func (s subject) appendForEver(ctx context.Context, stream eventstore.Stream, inUse chan<- struct{}) error {
	for {
		if _, err := s.Append(ctx, to(stream, eventstore.Any(), []event.Event{draft()}...)); err != nil {
			return err
		}
		signal(inUse)
	}
}

func signal(inUse chan<- struct{}) {
	select {
	case inUse <- struct{}{}:
	default:
	}
}
