package memory

import (
	"context"
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
