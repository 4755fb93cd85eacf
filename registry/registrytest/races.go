package registrytest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/promisetest"
	"github.com/evident-go/evident/registry"
)

// requireChanged requires that a save was refused because the record has
// another revision.
func requireChanged(t promisetest.T, s registry.Store, r registry.Record, have uint64) {
	t.Helper()
	_, err := s.Save(t.Context(), r)
	require.ErrorIs(t, err, registry.ErrChanged)
	var changed *registry.ChangedError
	require.ErrorAs(t, err, &changed)
	require.Equal(t, registry.ChangedError{Name: r.Name, Have: have, Want: r.Revision}, *changed)
}

// requireLive requires that a save was refused because another version is live.
func requireLive(t promisetest.T, s registry.Store, r registry.Record, live int) {
	t.Helper()
	_, err := s.Save(t.Context(), r)
	require.ErrorIs(t, err, registry.ErrLive)
	var typed *registry.LiveError
	require.ErrorAs(t, err, &typed)
	require.Equal(t, registry.LiveError{Name: r.Name, Live: live}, *typed)
}

func onlyAtItsRevision(t promisetest.T, h Harness) {
	never := record(1, registry.Building)
	never.Revision = 1
	requireChanged(t, h.Store, never, 0)
	assert.Empty(t, list(t, h.Store, ""))

	first := save(t, h.Store, record(1, registry.Building))
	second := save(t, h.Store, first)
	for _, revision := range []uint64{0, 1, 3} {
		stale := full(1)
		stale.Revision = revision
		requireChanged(t, h.Store, stale, 2)
	}
	requireSaved(t, h.Store, first, second)
}

// requireOne requires that one error is nil and the others are sentinel.
func requireOne(t promisetest.T, errs []error, sentinel error) {
	t.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, sentinel)
	}
	require.Equal(t, 1, won)
}

func racingCreators(t promisetest.T, h Harness) {
	for version := range 4 {
		requireOne(t, promisetest.Race(8, func(i int) error {
			r := record(version+1, registry.Building)
			r.Lanes = i + 1
			_, err := h.Store.Save(t.Context(), r)
			return err
		}), registry.ErrChanged)
		require.Equal(t, uint64(1), load(t, h.Store, name(version+1)).Revision)
	}
}

func racingSaves(t promisetest.T, h Harness) {
	save(t, h.Store, record(1, registry.Live))
	for round := range uint64(8) {
		before := load(t, h.Store, name(1))
		requireOne(t, promisetest.Race(8, func(i int) error {
			r := before
			r.Lanes = i + 1
			if i%2 == 0 {
				r.State = registry.Replaced
			}
			_, err := h.Store.Save(t.Context(), r)
			return err
		}), registry.ErrChanged)
		require.Equal(t, round+2, load(t, h.Store, name(1)).Revision)
	}
}

// racingSavers adds one to the lanes, again and again: there must be in the end
// as many more as saves succeeded.
func racingSavers(t promisetest.T, h Harness) {
	save(t, h.Store, record(1, registry.Building))
	var saved atomic.Int64
	for _, err := range promisetest.Race(8, func(int) error {
		for range 16 {
			err := addLane(t.Context(), h.Store)
			if err == nil {
				saved.Add(1)
			} else if !errors.Is(err, registry.ErrChanged) {
				return err
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
	assert.Equal(t, 1+int(saved.Load()), load(t, h.Store, name(1)).Lanes)
}

func addLane(ctx context.Context, s registry.Store) error {
	r, err := s.Load(ctx, name(1))
	if err != nil {
		return err
	}
	r.Lanes++
	_, err = s.Save(ctx, r)
	return err
}

func secondLive(t promisetest.T, h Harness) {
	live := save(t, h.Store, record(7, registry.Live))
	other := save(t, h.Store, record(2, registry.CaughtUp))
	goes := other
	goes.State, goes.Lanes = registry.Live, 5
	requireLive(t, h.Store, goes, 7)
	requireLive(t, h.Store, record(9, registry.Live), 7)
	assert.Equal(t, []registry.Record{other, live}, list(t, h.Store, "titles"))
	live.Lanes = 3
	save(t, h.Store, live) // which is live already
	elsewhere := record(1, registry.Live)
	elsewhere.Name.Projection = "counts"
	save(t, h.Store, elsewhere)
}

func changedBeforeLive(t promisetest.T, h Harness) {
	save(t, h.Store, record(1, registry.Live))
	stale := save(t, h.Store, record(2, registry.CaughtUp))
	save(t, h.Store, stale)
	stale.State = registry.Live
	requireChanged(t, h.Store, stale, 2)
	stale.Revision = 0
	requireChanged(t, h.Store, stale, 2)
	missing := record(3, registry.Live)
	missing.Revision = 4
	requireChanged(t, h.Store, missing, 0)
}

func liveAfterAnother(t promisetest.T, h Harness) {
	old, next := save(t, h.Store, record(1, registry.Live)), save(t, h.Store, record(2, registry.CaughtUp))
	old.State, next.State = registry.Replaced, registry.Live
	old = save(t, h.Store, old)
	next = save(t, h.Store, next)
	old.State = registry.Live
	requireLive(t, h.Store, old, 2)
	next.State = registry.Retired
	save(t, h.Store, next)
	save(t, h.Store, record(3, registry.Live))
}

func racingToBeLive(t promisetest.T, h Harness) {
	const versions = 6
	for version := range versions {
		save(t, h.Store, record(version+1, registry.CaughtUp))
	}
	for range 4 {
		requireOne(t, promisetest.Race(versions, func(i int) error { return goLive(t.Context(), h.Store, i+1) }), registry.ErrLive)
		stepDown(t, h.Store)
	}
}

// goLive makes a version live that is not.
func goLive(ctx context.Context, s registry.Store, version int) error {
	r, err := s.Load(ctx, name(version))
	if err != nil {
		return err
	}
	r.State = registry.Live
	_, err = s.Save(ctx, r)
	return err
}

// stepDown requires that one version is live and replaces it.
func stepDown(t promisetest.T, s registry.Store) {
	t.Helper()
	var live []registry.Record
	for _, r := range list(t, s, "titles") {
		if r.State == registry.Live {
			live = append(live, r)
		}
	}
	require.Len(t, live, 1)
	live[0].State = registry.Replaced
	save(t, s, live[0])
}

func racingToBeginLive(t promisetest.T, h Harness) {
	for round := range 4 {
		requireOne(t, promisetest.Race(6, func(i int) error {
			_, err := h.Store.Save(t.Context(), record(10*round+i+1, registry.Live))
			return err
		}), registry.ErrLive)
		stepDown(t, h.Store)
	}
}
