package eventstoretest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// Wait returns soon after an append by this process or any other, and never
// misses one: a lost notification costs at most one poll interval.
func wakeUp() []clause {
	return []clause{
		{Name: "it returns at once when the head is above already", Check: aboveAlready},
		{Name: "one append wakes everybody", Check: wakesEverybody},
		{Name: "it does not return before the head is above", Check: notBefore},
		{Name: "no append is missed, however close it is to the call", Check: neverMissed},
		{Name: "an append by another process wakes too", Check: wokenByAnother},
		{Name: "it ends with its context", Check: waitEnds},
	}
}

func aboveAlready(t T, s subject) {
	s.seed(t, 3)
	head := s.head(t)
	for after := range head {
		got, err := s.Wait(t.Context(), after)
		require.NoError(t, err)
		require.Equal(t, head, got)
	}
}

func wakesEverybody(t T, s subject) {
	const waiters = 16
	ctx, cancel := s.patiently(t)
	defer cancel()
	for range 5 {
		head := s.head(t)
		var waiting sync.WaitGroup
		waiting.Add(waiters)
		requireNone(t, promisetest.Race(waiters+1, func(i int) error {
			if i == waiters {
				waiting.Wait()
				_, err := s.Append(ctx, to(s.stream(), eventstore.Any(), draft()))
				return err
			}
			waiting.Done()
			return waitFor(ctx, s.Store, head)
		}))
	}
}

// waitFor waits for the head to be above after.
func waitFor(ctx context.Context, store eventstore.Store, after uint64) error {
	head, err := store.Wait(ctx, after)
	if err != nil {
		return fmt.Errorf("wait for more than %d: %w", after, err)
	}
	if head <= after {
		return fmt.Errorf("wait for more than %d returned %d", after, head)
	}
	return nil
}

func notBefore(t T, s subject) {
	const ahead = 5
	s.seed(t, 1)
	head := s.head(t)
	step := s.append(t, s.stream(), eventstore.Any(), draft()).Position - head
	head += step
	for after := head; after < head+3; after++ {
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := s.Wait(short, after)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	ctx, cancel := s.patiently(t)
	defer cancel()
	requireNone(t, promisetest.Race(2, func(i int) error {
		if i == 0 {
			return waitFor(ctx, s.Store, head+(ahead-1)*step)
		}
		for range ahead {
			if _, err := s.Append(ctx, to(s.stream(), eventstore.Any(), draft())); err != nil {
				return err
			}
		}
		return nil
	}))
}

func neverMissed(t T, s subject) {
	ctx, cancel := s.patiently(t)
	defer cancel()
	for range 150 {
		head := s.head(t)
		requireNone(t, promisetest.Race(4, func(i int) error {
			if i == 0 {
				_, err := s.Append(ctx, to(s.stream(), eventstore.Any(), draft()))
				return err
			}
			return waitFor(ctx, s.Store, head)
		}))
	}
}

func wokenByAnother(t T, s subject) {
	other := s.other()
	ctx, cancel := s.patiently(t)
	defer cancel()
	for range 5 {
		head := s.head(t)
		requireNone(t, promisetest.Race(3, func(i int) error {
			switch i {
			case 0:
				_, err := other.Append(ctx, to(s.stream(), eventstore.Any(), draft()))
				return err
			case 1:
				return waitFor(ctx, other, head)
			default:
				return waitFor(ctx, s.Store, head)
			}
		}))
	}
}

func waitEnds(t T, s subject) {
	s.seed(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	errs := promisetest.Race(2, func(i int) error {
		if i == 0 {
			cancel()
			return nil
		}
		_, err := s.Wait(ctx, s.head(t))
		return err
	})
	require.ErrorIs(t, errs[1], context.Canceled)
	_, err := s.Wait(ctx, 1<<40)
	require.ErrorIs(t, err, context.Canceled)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = s.Wait(short, s.head(t))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
