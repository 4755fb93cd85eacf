package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/evident-go/evident/lease"
)

// leases implements [lease.Store]. When a lease ends is told by the server's
// clock, or by that which was configured; no two processes need agree on the
// time. A lease that was given up stays, without an owner, for its fence.
type leases struct{ progress *progress }

// leaseValue is a lease as it is stored.
type leaseValue struct {
	Name      string    `json:"name"`
	Owner     string    `json:"owner,omitempty"`
	Fence     uint64    `json:"fence"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func (v leaseValue) lease() lease.Lease { return lease.Lease(v) }

func leaseKey(name string) string { return progressKey(leaseKeys, keyPart(name)) }

// Acquire implements [lease.Store].
func (s leases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (taken lease.Lease, err error) {
	if err := lease.Check(name, owner, ttl); err != nil {
		return lease.Lease{}, err
	}
	err = s.progress.change(ctx, func(ctx context.Context, d *draft) error {
		now, err := s.progress.clock(ctx)
		if err != nil {
			return err
		}
		held, _, err := load[leaseValue](ctx, d, leaseKey(name))
		if err != nil {
			return err
		}
		if held.Owner != owner {
			if held.Owner != "" && now.Before(held.ExpiresAt) {
				return &lease.HeldError{Lease: held.lease()}
			}
			held.Fence++
		}
		held.Name, held.Owner, held.ExpiresAt = name, owner, now.Add(ttl)
		taken = held.lease()
		return store(d, leaseKey(name), held)
	})
	if err != nil {
		return lease.Lease{}, err
	}
	return taken, nil
}

// Renew implements [lease.Store]. Each lease is renewed for itself, side by side
// with the others: one that somebody takes over is in nobody's way.
func (s leases) Renew(ctx context.Context, given []lease.Lease, ttl time.Duration) ([]lease.Lease, error) {
	if err := lease.CheckRenewal(given, ttl); err != nil || len(given) == 0 {
		return nil, err
	}
	var renewed []lease.Lease
	left := given
	for pauses := newTries(); ; {
		done, again, err := s.renew(ctx, left, ttl)
		if err != nil {
			return nil, err
		}
		if renewed = append(renewed, done...); len(again) == 0 {
			return lease.Held(given, renewed), nil
		}
		left = again
		if err := pauses.wait(ctx); err != nil {
			return nil, unavailable("renew leases", err)
		}
	}
}

// renew renews those leases that are held as given. Again are those that somebody
// else has written meanwhile: they may be held still.
func (s leases) renew(ctx context.Context, given []lease.Lease, ttl time.Duration) (done, again []lease.Lease, err error) {
	found, err := s.find(ctx, given)
	if err != nil {
		return nil, nil, err
	}
	now, err := s.progress.clock(ctx)
	if err != nil {
		return nil, nil, err
	}
	var changes []keyChange
	for i := range found {
		l := &found[i]
		if l.value.ExpiresAt.Equal(now.Add(ttl)) { // somebody has just done it
			continue
		}
		l.value.ExpiresAt = now.Add(ttl)
		data, err := json.Marshal(l.value)
		if err != nil {
			return nil, nil, err
		}
		changes = append(changes, keyChange{key: leaseKey(l.value.Name), data: data, guarded: true, revision: l.revision})
	}
	moved, err := s.progress.bucket.commitEach(ctx, changes)
	for _, l := range found {
		if moved[leaseKey(l.value.Name)] {
			again = append(again, l.value.lease())
		} else {
			done = append(done, l.value.lease())
		}
	}
	return done, again, err
}

// foundLease is a lease and the revision of its key.
type foundLease struct {
	value    leaseValue
	revision uint64
}

// find returns those leases that are held as given, each once.
func (s leases) find(ctx context.Context, given []lease.Lease) (found []foundLease, err error) {
	want := make(map[string]lease.Lease, len(given))
	for _, l := range given {
		want[leaseKey(l.Name)] = l
	}
	d := newDraft(s.progress.bucket)
	if err := s.progress.usable(ctx); err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(want))
	for key := range want {
		keys = append(keys, key)
	}
	if err := d.fetch(ctx, keys...); err != nil {
		return nil, err
	}
	for _, l := range given {
		key := leaseKey(l.Name)
		value, ok, err := load[leaseValue](ctx, d, key)
		if err != nil {
			return nil, err
		}
		if _, left := want[key]; !ok || !left || value.Owner != l.Owner || value.Fence != l.Fence {
			continue
		}
		delete(want, key)
		found = append(found, foundLease{value: value, revision: d.read[key].revision})
	}
	return found, nil
}

// List implements [lease.Store].
func (s leases) List(ctx context.Context, prefix string) (list []lease.Lease, err error) {
	if err := lease.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	now, err := s.progress.clock(ctx)
	if err != nil {
		return nil, err
	}
	err = s.progress.look(ctx, func(ctx context.Context, d *draft) error {
		all, err := listValues[leaseValue](ctx, d, below(leaseKeys))
		list = nil
		for _, l := range all {
			if strings.HasPrefix(l.Name, prefix) && l.Owner != "" && l.ExpiresAt.After(now) {
				list = append(list, l.lease())
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b lease.Lease) int { return cmp.Compare(a.Name, b.Name) })
	return list, err
}

// Release implements [lease.Store].
func (s leases) Release(ctx context.Context, l lease.Lease) error {
	if l.Name == "" || l.Owner == "" {
		return s.progress.usable(ctx) // nobody can hold it
	}
	return s.progress.change(ctx, func(ctx context.Context, d *draft) error {
		held, found, err := load[leaseValue](ctx, d, leaseKey(l.Name))
		if err != nil || !found || held.Owner != l.Owner || held.Fence != l.Fence {
			return err
		}
		held.Owner, held.ExpiresAt = "", time.Time{}
		return store(d, leaseKey(l.Name), held)
	})
}
