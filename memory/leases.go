package memory

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evident-go/evident/lease"
)

// leases implements [lease.Store]. A lease that was given up stays as a row
// without an owner, for its fence.
type leases struct {
	ports *ports

	mu     sync.Mutex
	byName map[string]lease.Lease
}

// Acquire implements [lease.Store].
func (s *leases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (lease.Lease, error) {
	if err := lease.Check(name, owner, ttl); err != nil {
		return lease.Lease{}, err
	}
	if err := s.ports.usable(ctx); err != nil {
		return lease.Lease{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, held := s.ports.clock(), s.byName[name]
	if held.Owner != owner {
		if held.Owner != "" && now.Before(held.ExpiresAt) {
			return lease.Lease{}, &lease.HeldError{Lease: held}
		}
		held.Fence++
	}
	taken := lease.Lease{Name: name, Owner: owner, Fence: held.Fence, ExpiresAt: now.Add(ttl)}
	s.byName[name] = taken
	return taken, nil
}

// Renew implements [lease.Store].
func (s *leases) Renew(ctx context.Context, given []lease.Lease, ttl time.Duration) ([]lease.Lease, error) {
	if err := lease.CheckRenewal(given, ttl); err != nil {
		return nil, err
	}
	if err := s.ports.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var renewed []lease.Lease
	expires := s.ports.clock().Add(ttl)
	for _, l := range given {
		if held := s.byName[l.Name]; held.Owner == l.Owner && held.Fence == l.Fence {
			held.ExpiresAt = expires
			s.byName[l.Name] = held
			renewed = append(renewed, held)
		}
	}
	return renewed, nil
}

// List implements [lease.Store].
func (s *leases) List(ctx context.Context, prefix string) ([]lease.Lease, error) {
	if err := lease.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	if err := s.ports.usable(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []lease.Lease
	now := s.ports.clock()
	for name, held := range s.byName {
		if held.Owner != "" && now.Before(held.ExpiresAt) && strings.HasPrefix(name, prefix) {
			list = append(list, held)
		}
	}
	slices.SortFunc(list, func(a, b lease.Lease) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Release implements [lease.Store].
func (s *leases) Release(ctx context.Context, l lease.Lease) error {
	if err := s.ports.usable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, found := s.byName[l.Name]; found && held.Owner == l.Owner && held.Fence == l.Fence {
		s.byName[l.Name] = lease.Lease{Name: l.Name, Fence: held.Fence}
	}
	return nil
}
