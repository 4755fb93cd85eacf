package leasetest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/lease/leasetest"
	"github.com/evident-go/evident/memory"
)

func TestSuiteSaysWhatTheContractSays(t *testing.T) {
	t.Parallel()
	leasetest.RequireSameWords(t, "../lease.go")
}

func TestHonestStorePasses(t *testing.T) {
	t.Parallel()
	leasetest.Run(t, open)
}

// A store whose leases outlive it is reopened over the same leases.
func TestHonestStorePassesOverRestarts(t *testing.T) {
	t.Parallel()
	leasetest.Run(t, func(t *testing.T, now func() time.Time) lease.Store {
		t.Helper()
		return lasting{open(t, now)}
	})
}

func TestBrokenStoresFail(t *testing.T) {
	t.Parallel()
	for clause, wrap := range map[string]func(lease.Store) lease.Store{
		"held by another": func(s lease.Store) lease.Store { return folded{s} },
		"leases of different names are independent": func(s lease.Store) lease.Store { return folded{s} },
		"bad names and times are refused":           func(s lease.Store) lease.Store { return trusting{s} },
		"the owner renews":                          func(s lease.Store) lease.Store { return newFence{s} },
		"anybody else after expiry":                 func(s lease.Store) lease.Store { return oneFence{s} },
		"anybody else after release":                func(s lease.Store) lease.Store { return oneFence{s} },
		"racing for a free lease":                   func(s lease.Store) lease.Store { return oneOwner{s} },
		"racing for an expired lease":               func(s lease.Store) lease.Store { return oneOwner{s} },
		"release ends it at once":                   func(s lease.Store) lease.Store { return neverReleases{s} },
		"release by somebody who does not hold it":  func(s lease.Store) lease.Store { return releasesAny{s} },
		"release by a former owner":                 func(s lease.Store) lease.Store { return releasesAny{s} },
		"over releases and takeovers":               func(s lease.Store) lease.Store { return oneFence{s} },
		"over restarts":                             func(s lease.Store) lease.Store { return forgetful{s, t} },
		"a lease ends by the store's clock":         func(s lease.Store) lease.Store { return ownClock{s} },
	} {
		t.Run(clause, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, []string{clause}, leasetest.Failing(t, func(t *testing.T, now func() time.Time) lease.Store {
				t.Helper()
				return wrap(open(t, now))
			}, clause))
		})
	}
}

func open(t *testing.T, now func() time.Time) lease.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store.Leases()
}

type lasting struct{ lease.Store }

func (s lasting) Reopen() (lease.Store, error) { return s.Store, nil }

// forgetful has lost its leases when it is reopened.
type forgetful struct {
	lease.Store

	t *testing.T
}

func (s forgetful) Reopen() (lease.Store, error) { return open(s.t, time.Now), nil }

// folded takes names and owners that differ by case for the same.
type folded struct{ lease.Store }

func (s folded) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	got, err := s.Store.Acquire(ctx, strings.ToLower(name), strings.ToLower(owner), ttl)
	if err == nil {
		got.Name, got.Owner = name, owner
	}
	return got, err
}

type trusting struct{ lease.Store }

func (s trusting) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	return s.Store.Acquire(ctx, name, owner, max(ttl, 1))
}

// newFence gives the owner who renews a new fence.
type newFence struct{ lease.Store }

func (s newFence) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	got, err := s.Store.Acquire(ctx, name, owner, ttl)
	if err != nil {
		return got, err
	}
	if err := s.Release(ctx, got); err != nil {
		return got, err
	}
	return s.Store.Acquire(ctx, name, owner, ttl)
}

type oneFence struct{ lease.Store }

func (s oneFence) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	got, err := s.Store.Acquire(ctx, name, owner, ttl)
	got.Fence = 1
	return got, err
}

// oneOwner takes everybody for the same.
type oneOwner struct{ lease.Store }

func (s oneOwner) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	got, err := s.Store.Acquire(ctx, name, "everybody", ttl)
	got.Owner = owner
	return got, err
}

type neverReleases struct{ lease.Store }

func (s neverReleases) Release(context.Context, lease.Lease) error { return nil }

// releasesAny releases a lease for whoever asks.
type releasesAny struct{ lease.Store }

func (s releasesAny) Release(ctx context.Context, l lease.Lease) error {
	for fence := range uint64(8) {
		for _, owner := range []string{"a", "b"} {
			if err := s.Store.Release(ctx, lease.Lease{Name: l.Name, Owner: owner, Fence: fence}); err != nil {
				return err
			}
		}
	}
	return nil
}

type ownClock struct{ lease.Store }

func (s ownClock) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	got, err := s.Store.Acquire(ctx, name, owner, ttl)
	got.ExpiresAt = time.Now().Add(ttl)
	return got, err
}
