package registrytest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/evident-go/evident/registry"
)

// Each type here breaks one promise of the store inside.

type forgetsProblems struct{ registry.Store }

func (s forgetsProblems) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	r.Order.Problem = ""
	return s.Store.Save(ctx, r)
}

type findsAnything struct{ registry.Store }

func (s findsAnything) Load(ctx context.Context, name registry.Name) (registry.Record, error) {
	r, err := s.Store.Load(ctx, name)
	if errors.Is(err, registry.ErrNotFound) {
		return registry.Record{Name: name}, nil
	}
	return r, err
}

type neverUnpauses struct{ registry.Store }

func (s neverUnpauses) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if there, err := s.Load(ctx, r.Name); err == nil && !r.Paused() {
		r.Pause = there.Pause
	}
	return s.Store.Save(ctx, r)
}

type passesOverTheSame struct{ registry.Store }

func (s passesOverTheSame) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if there, err := s.Load(ctx, r.Name); err == nil && there == r {
		return there, nil
	}
	return s.Store.Save(ctx, r)
}

// lastWins saves whatever was saved in between.
type lastWins struct{ registry.Store }

func (s lastWins) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	for {
		saved, err := s.Store.Save(ctx, r)
		changed, ok := errors.AsType[*registry.ChangedError](err)
		if !ok {
			return saved, err
		}
		r.Revision = changed.Have
	}
}

// dropsSaves says of every third save that it was made, and makes it not.
type dropsSaves struct {
	registry.Store

	saves *atomic.Int32
}

func (s dropsSaves) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if s.saves.Add(1)%3 == 0 {
		return r, nil
	}
	return s.Store.Save(ctx, r)
}

// folded takes names that differ by case for the same.
type folded struct{ registry.Store }

func (s folded) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	r.Name.Projection = strings.ToLower(r.Name.Projection)
	return s.Store.Save(ctx, r)
}

type listsBackward struct{ registry.Store }

func (s listsBackward) List(ctx context.Context, projection string) ([]registry.Record, error) {
	list, err := s.Store.List(ctx, projection)
	slices.Reverse(list)
	return list, err
}

// takesOver replaces the live version by whichever wants to be.
type takesOver struct{ registry.Store }

func (s takesOver) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	for {
		saved, err := s.Store.Save(ctx, r)
		refused, ok := errors.AsType[*registry.LiveError](err)
		if !ok {
			return saved, err
		}
		live, err := s.Load(ctx, registry.Name{Projection: r.Name.Projection, Version: refused.Live})
		if err != nil {
			return live, err
		}
		live.State = registry.Replaced
		if _, err := s.Store.Save(ctx, live); err != nil && !errors.Is(err, registry.ErrChanged) {
			return live, err
		}
	}
}

type looksAtLiveFirst struct{ registry.Store }

func (s looksAtLiveFirst) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	list, err := s.List(ctx, r.Name.Projection)
	for _, other := range list {
		if other.Name != r.Name && other.State == registry.Live && r.State == registry.Live {
			return r, &registry.LiveError{Name: r.Name, Live: other.Name.Version}
		}
	}
	if err != nil {
		return r, err
	}
	return s.Store.Save(ctx, r)
}

// liveForEver never lets the live version end.
type liveForEver struct{ registry.Store }

func (s liveForEver) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	there, err := s.Load(ctx, r.Name)
	if err == nil && there.State == registry.Live && r.State != registry.Live {
		return r, &registry.LiveError{Name: r.Name, Live: r.Name.Version}
	}
	return s.Store.Save(ctx, r)
}

// poisoned does nothing any more once it has refused something.
type poisoned struct {
	registry.Store

	refused error
}

func (s *poisoned) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if s.refused != nil {
		return r, s.refused
	}
	saved, err := s.Store.Save(ctx, r)
	s.refused = err
	return saved, err
}

type takesAnyLanes struct{ registry.Store }

func (s takesAnyLanes) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	r.Lanes = min(max(r.Lanes, 1), registry.MaxLanes)
	return s.Store.Save(ctx, r)
}
