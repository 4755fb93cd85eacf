package dlqtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
)

// Each type here breaks one promise of the store inside.

type lastFirst struct{ dlq.Store }

func (s lastFirst) Letters(ctx context.Context, of dlq.Sequence, limit int) ([]dlq.Letter, error) {
	letters, err := s.Store.Letters(ctx, of, limit)
	slices.Reverse(letters)
	return letters, err
}

type neverTried struct{ dlq.Store }

func (s neverTried) Park(ctx context.Context, letters ...dlq.Letter) error {
	letters = slices.Clone(letters)
	for i := range letters {
		letters[i].TriedAt = time.Time{}
	}
	return s.Store.Park(ctx, letters...)
}

type unlimited struct{ dlq.Store }

func (s unlimited) Letters(ctx context.Context, of dlq.Sequence, _ int) ([]dlq.Letter, error) {
	return s.Store.Letters(ctx, of, 0)
}

type parksAnew struct{ dlq.Store }

func (s parksAnew) Park(ctx context.Context, letters ...dlq.Letter) error {
	for _, l := range letters {
		if err := s.Remove(ctx, l); err != nil && !errors.Is(err, dlq.ErrNotFound) {
			return err
		}
	}
	return s.Store.Park(ctx, letters...)
}

type refusesTwice struct{ dlq.Store }

func (s refusesTwice) Park(ctx context.Context, letters ...dlq.Letter) error {
	for _, l := range letters {
		there, err := s.Letters(ctx, l.Sequence, 0)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(there, func(o dlq.Letter) bool { return o.Position == l.Position }) {
			return dlq.ErrFull
		}
	}
	return s.Store.Park(ctx, letters...)
}

// memo is what remembersParked does not forget.
type memo struct {
	nextRetry time.Time
}

type remembersParked struct {
	dlq.Store

	memo *memo
}

func (s remembersParked) Schedule(ctx context.Context, of dlq.Sequence, nextRetry time.Time) error {
	s.memo.nextRetry = nextRetry
	return s.Store.Schedule(ctx, of, nextRetry)
}

func (s remembersParked) Sequences(ctx context.Context, f dlq.Filter) ([]dlq.Parked, error) {
	parked, err := s.Store.Sequences(ctx, f)
	for i := range parked {
		parked[i].NextRetry = s.memo.nextRetry
	}
	if len(parked) == 0 {
		parked = append(parked, dlq.Parked{})
	}
	return parked, err
}

type dueForEver struct{ dlq.Store }

func (s dueForEver) Sequences(ctx context.Context, f dlq.Filter) ([]dlq.Parked, error) {
	f.DueBy = time.Time{}
	return s.Store.Sequences(ctx, f)
}

type countsNoAttempt struct{ dlq.Store }

func (s countsNoAttempt) Failed(ctx context.Context, l dlq.Letter, _ string, _, nextRetry time.Time) error {
	return s.Schedule(ctx, l.Sequence, nextRetry)
}

type selectsAll struct{ dlq.Store }

func (s selectsAll) Sequences(ctx context.Context, _ dlq.Filter) ([]dlq.Parked, error) {
	return s.Store.Sequences(ctx, dlq.Filter{})
}

type sumsVersions struct{ dlq.Store }

func (s sumsVersions) Stats(ctx context.Context, projection string, version int) (dlq.Stats, error) {
	sum, err := s.Store.Stats(ctx, projection, version)
	next, _ := s.Store.Stats(ctx, projection, version+1)
	sum.Sequences += next.Sequences
	sum.Letters += next.Letters
	return sum, err
}

type clearsNothing struct{ dlq.Store }

func (s clearsNothing) Clear(context.Context, string, int) error { return nil }

// folded takes keys that differ by case for the same.
type folded struct{ dlq.Store }

func (s folded) Park(ctx context.Context, letters ...dlq.Letter) error {
	letters = slices.Clone(letters)
	for i := range letters {
		letters[i].Sequence.Key = strings.ToLower(letters[i].Sequence.Key)
	}
	return s.Store.Park(ctx, letters...)
}

type oneSequence struct{ dlq.Store }

func (s oneSequence) Park(ctx context.Context, letters ...dlq.Letter) error {
	letters = slices.Clone(letters)
	for i := range letters {
		letters[i].Sequence = letters[0].Sequence
	}
	return s.Store.Park(ctx, letters...)
}

type removesFirst struct{ dlq.Store }

func (s removesFirst) Remove(ctx context.Context, l dlq.Letter) error {
	first, err := s.Letters(ctx, l.Sequence, 1)
	if err != nil || len(first) == 0 {
		return errors.Join(err, dlq.ErrNotFound)
	}
	return s.Store.Remove(ctx, first[0])
}

type removesAnyway struct{ dlq.Store }

func (s removesAnyway) Remove(ctx context.Context, l dlq.Letter) error {
	if err := s.Store.Remove(ctx, l); !errors.Is(err, dlq.ErrNotFound) {
		return err
	}
	return nil
}

type discardsAnonymously struct{ dlq.Store }

func (s discardsAnonymously) Discard(ctx context.Context, l dlq.Letter, reason string, _ event.ActorID, at time.Time) error {
	return s.Store.Discard(ctx, l, reason, "", at)
}

type discardsBackward struct{ dlq.Store }

func (s discardsBackward) Discarded(ctx context.Context, projection string, version int) ([]dlq.Discarded, error) {
	discarded, err := s.Store.Discarded(ctx, projection, version)
	slices.Reverse(discarded)
	return discarded, err
}

type discardsOnce struct{ dlq.Store }

func (s discardsOnce) Discarded(ctx context.Context, projection string, version int) ([]dlq.Discarded, error) {
	discarded, err := s.Store.Discarded(ctx, projection, version)
	return slices.CompactFunc(discarded, func(a, b dlq.Discarded) bool { return a.Letter.Position == b.Letter.Position }), err
}

// parksOneByOne keeps the letters before one that is refused.
type parksOneByOne struct{ dlq.Store }

func (s parksOneByOne) Park(ctx context.Context, letters ...dlq.Letter) error {
	for _, l := range letters {
		if err := s.Store.Park(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

type needsNoReason struct{ dlq.Store }

func (s needsNoReason) Discard(ctx context.Context, l dlq.Letter, reason string, by event.ActorID, at time.Time) error {
	if reason == "" {
		reason = "none"
	}
	return s.Store.Discard(ctx, l, reason, by, at)
}

// cutsShort keeps less of a cause than it may.
type cutsShort struct{ dlq.Store }

func (s cutsShort) Park(ctx context.Context, letters ...dlq.Letter) error {
	letters = slices.Clone(letters)
	for i, l := range letters {
		letters[i].Cause = l.Cause[:min(len(l.Cause), 255)]
	}
	return s.Store.Park(ctx, letters...)
}

type unbounded struct{ dlq.Store }

func (s unbounded) ScheduleUntil(ctx context.Context, of dlq.Sequence, nextRetry time.Time, _ uint64) error {
	return s.Schedule(ctx, of, nextRetry)
}

// remembersBound reports the last bound for ever.
type remembersBound struct {
	dlq.Store

	until *uint64
}

func (s remembersBound) ScheduleUntil(ctx context.Context, of dlq.Sequence, nextRetry time.Time, until uint64) error {
	*s.until = until
	return s.Store.ScheduleUntil(ctx, of, nextRetry, until)
}

func (s remembersBound) Sequences(ctx context.Context, f dlq.Filter) ([]dlq.Parked, error) {
	parked, err := s.Store.Sequences(ctx, f)
	for i := range parked {
		parked[i].Until = *s.until
	}
	return parked, err
}

type parksAsFresh struct{ dlq.Store }

func (s parksAsFresh) Park(ctx context.Context, letters ...dlq.Letter) error {
	letters = slices.Clone(letters)
	for i := range letters {
		letters[i].Redrives = 0
	}
	return s.Store.Park(ctx, letters...)
}
