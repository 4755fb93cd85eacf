package leasetest_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
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
		"leases of different names are independent":                 func(s lease.Store) lease.Store { return folded{s} },
		"bad names and times are refused":                           func(s lease.Store) lease.Store { return trusting{s} },
		"the owner renews":                                          func(s lease.Store) lease.Store { return newFence{s} },
		"anybody else after expiry":                                 func(s lease.Store) lease.Store { return oneFence{s} },
		"anybody else after release":                                func(s lease.Store) lease.Store { return oneFence{s} },
		"racing for a free lease":                                   func(s lease.Store) lease.Store { return oneOwner{s} },
		"racing for an expired lease":                               func(s lease.Store) lease.Store { return oneOwner{s} },
		"release ends it at once":                                   func(s lease.Store) lease.Store { return neverReleases{s} },
		"release by somebody who does not hold it":                  func(s lease.Store) lease.Store { return releasesAny{s} },
		"release by a former owner":                                 func(s lease.Store) lease.Store { return releasesAny{s} },
		"over releases and takeovers":                               func(s lease.Store) lease.Store { return oneFence{s} },
		"over restarts":                                             func(s lease.Store) lease.Store { return forgetful{s, t} },
		"a lease ends by the store's clock":                         func(s lease.Store) lease.Store { return ownClock{s} },
		"all that are held are renewed":                             func(s lease.Store) lease.Store { return renewsFirst{s} },
		"one that was released or taken over stays as it is":        func(s lease.Store) lease.Store { return acquiresAnew{s} },
		"one that has run out and that nobody has taken is renewed": func(s lease.Store) lease.Store { return neverRevives{s} },
		"of a renewal and a takeover exactly one succeeds":          func(s lease.Store) lease.Store { return saysRenewed{s} },
		"renewals at once are in nobody's way":                      func(s lease.Store) lease.Store { return everyThird{s, new(atomic.Int32)} },
		"bad renewals are refused":                                  func(s lease.Store) lease.Store { return trustsRenewals{s} },
		"List returns what is held now":                             func(s lease.Store) lease.Store { return listsBackward{s} },
		"List goes by prefix, byte for byte":                        func(s lease.Store) lease.Store { return foldsPrefixes{s} },
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

// renewsFirst renews the first of those given.
type renewsFirst struct{ lease.Store }

func (s renewsFirst) Renew(ctx context.Context, leases []lease.Lease, ttl time.Duration) ([]lease.Lease, error) {
	return s.Store.Renew(ctx, leases[:min(len(leases), 1)], ttl)
}

// acquiresAnew takes what is free instead of renewing what is held.
type acquiresAnew struct{ lease.Store }

func (s acquiresAnew) Renew(ctx context.Context, leases []lease.Lease, ttl time.Duration) (renewed []lease.Lease, _ error) {
	for _, l := range leases {
		if got, err := s.Acquire(ctx, l.Name, l.Owner, ttl); err == nil {
			renewed = append(renewed, got)
		}
	}
	return renewed, nil
}

// neverRevives renews nothing that has run out.
type neverRevives struct{ lease.Store }

func (s neverRevives) Renew(ctx context.Context, leases []lease.Lease, ttl time.Duration) ([]lease.Lease, error) {
	held, err := s.List(ctx, "")
	if err != nil {
		return nil, err
	}
	return s.Store.Renew(ctx, slices.DeleteFunc(slices.Clone(leases), func(l lease.Lease) bool {
		return !slices.ContainsFunc(held, func(h lease.Lease) bool { return h.Name == l.Name })
	}), ttl)
}

// saysRenewed says of everything that it was renewed.
type saysRenewed struct{ lease.Store }

func (s saysRenewed) Renew(_ context.Context, leases []lease.Lease, _ time.Duration) ([]lease.Lease, error) {
	return leases, nil
}

// everyThird does nothing every third time.
type everyThird struct {
	lease.Store

	calls *atomic.Int32
}

func (s everyThird) Renew(ctx context.Context, leases []lease.Lease, ttl time.Duration) ([]lease.Lease, error) {
	if s.calls.Add(1)%3 == 0 {
		return nil, nil
	}
	return s.Store.Renew(ctx, leases, ttl)
}

// trustsRenewals passes over what is bad.
type trustsRenewals struct{ lease.Store }

func (s trustsRenewals) Renew(ctx context.Context, leases []lease.Lease, ttl time.Duration) ([]lease.Lease, error) {
	good := slices.DeleteFunc(slices.Clone(leases), func(l lease.Lease) bool { return lease.Check(l.Name, l.Owner, 1) != nil })
	return s.Store.Renew(ctx, good, max(ttl, 1))
}

type listsBackward struct{ lease.Store }

func (s listsBackward) List(ctx context.Context, prefix string) ([]lease.Lease, error) {
	list, err := s.Store.List(ctx, prefix)
	slices.Reverse(list)
	return list, err
}

// foldsPrefixes takes prefixes that differ by case for the same.
type foldsPrefixes struct{ lease.Store }

func (s foldsPrefixes) List(ctx context.Context, prefix string) ([]lease.Lease, error) {
	list, err := s.Store.List(ctx, "")
	return slices.DeleteFunc(list, func(l lease.Lease) bool {
		return !strings.HasPrefix(strings.ToLower(l.Name), strings.ToLower(prefix))
	}), err
}
