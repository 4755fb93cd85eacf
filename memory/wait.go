package memory

import "context"

// Wait implements [eventstore.Store]. It returns as soon as an append has
// raised the head; there is no polling.
func (s *Store) Wait(ctx context.Context, after uint64) (uint64, error) {
	for {
		if err := s.usable(ctx); err != nil {
			return 0, err
		}
		head, raised := s.watch(after)
		if head > after {
			return head, nil
		}
		select {
		case <-raised:
		case <-s.done:
		case <-ctx.Done():
		}
	}
}

// watch returns the head and, if it is not above after, a channel that the
// next append closes. Both are taken under one lock: no append falls between.
func (s *Store) watch(after uint64) (head uint64, raised <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if head = s.head.Load(); head > after {
		return head, nil
	}
	if s.awaited == nil {
		s.awaited = make(chan struct{})
	}
	return head, s.awaited
}

// wake lets everybody go on who waits for the head to rise. It costs nothing
// when nobody does.
func (s *Store) wake() {
	if s.awaited != nil {
		close(s.awaited)
		s.awaited = nil
	}
}
