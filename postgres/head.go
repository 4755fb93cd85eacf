package postgres

import (
	"context"
	"time"

	"github.com/evident-go/evident/eventstore"
)

// Head implements [eventstore.Store]. It is one round trip.
//
// Positions are given out before their transactions commit, so the highest that
// can be seen is not the head: one below it may be about to appear. Each writer
// therefore announces, by a lock that nobody waits for, the position above
// which it writes; the head is the lowest that is announced. A writer that
// holds its transaction open holds the head back; [Store.Stall] names it.
func (s *Store) Head(ctx context.Context) (uint64, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	scope, free := s.scope(ctx)
	defer free()
	now, err := s.view(scope)
	return now.head, s.failure("head", err)
}

// view is what can be seen of the log at one time.
type view struct {
	head    uint64 // nothing can appear at or below it
	highest uint64 // the last event that can be seen
}

// view asks the database.
func (s *Store) view(ctx context.Context) (view, error) {
	var v view
	query := selectHead
	if s.config.Replica {
		query = selectMark
	}
	if err := s.pool.QueryRow(ctx, s.sql(query)).Scan(&v.head, &v.highest); err != nil {
		return view{}, err
	}
	v.head = s.settled(v.head)
	return v, nil
}

// settled returns the highest head that was seen, this one included: a head
// stays true for ever. Answers overtake each other, and a writer who has read
// the sequence but not announced it yet lowers the next head, although he
// will write above the last.
func (s *Store) settled(head uint64) uint64 {
	for {
		seen := s.stable.Load()
		if head <= seen {
			return seen
		}
		if s.stable.CompareAndSwap(seen, head) {
			return head
		}
	}
}

// upTo returns the last position that a read may look at: until, if that was
// stable before, or else as far as the head has come.
func (s *Store) upTo(ctx context.Context, until uint64) (uint64, error) {
	if until != 0 && until <= s.stable.Load() {
		return until, nil
	}
	head, err := s.Head(ctx)
	if until != 0 {
		head = min(head, until)
	}
	return head, err
}

// Wait implements [eventstore.Store].
func (s *Store) Wait(ctx context.Context, after uint64) (uint64, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	s.watcher.join()
	defer s.watcher.leave()
	for {
		seen := s.watcher.seen()
		if seen.err != nil || seen.head > after {
			return seen.head, s.failure("wait", seen.err)
		}
		select {
		case <-seen.replaced:
		case <-s.life.Done():
			return 0, eventstore.ErrClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Nudge tells all who wait for events, in this process and in others, to look
// now. The store does so by itself after each append; call it after the commit
// of a transaction of your own in which events were appended. If it is left
// out, they find the events when they look next, which [Config.PollInterval]
// bounds.
func (s *Store) Nudge() { s.watcher.stored() }

// slowest is how many poll intervals the pause between looks grows to, and
// quickest the part of one that it begins with while a writer holds the head.
const (
	slowest  = 10
	quickest = 20
)

// pause returns how long to wait before the next look, given the last pause and
// what has changed since.
func pause(last, interval time.Duration, now view, moved bool) time.Duration {
	switch {
	case now.head < now.highest && moved:
		return interval / quickest
	case now.head < now.highest:
		return min(2*last, interval)
	case moved:
		return interval
	default:
		return min(2*last, slowest*interval)
	}
}
