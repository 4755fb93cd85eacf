package eventstoretest

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// Once a reader of the whole log has seen position p, no event ever appears at
// or below p. Every reader sees the same order.
func stablePrefix() []clause {
	return []clause{
		{Name: "subscribers beside 16 writers skip nothing and see one order", Check: subscribers},
		{Name: "positions rise, and both directions agree", Check: positionsRise},
		{Name: "the head is the last position and never falls", Check: headNeverFalls},
	}
}

// subscriber follows the log in one of the ways that there are.
type subscriber struct {
	store eventstore.Store
	next  func(ctx context.Context, store eventstore.Store, after uint64) (eventstore.Query, error)
	seen  []uuid.UUID
	after uint64
}

// upToHead asks for the head first and reads up to it.
func upToHead(ctx context.Context, store eventstore.Store, after uint64) (eventstore.Query, error) {
	head, err := store.Head(ctx)
	return eventstore.Query{After: after, Until: head}, err
}

// toTheEnd reads whatever there is.
func toTheEnd(_ context.Context, _ eventstore.Store, after uint64) (eventstore.Query, error) {
	return eventstore.Query{After: after}, nil
}

// inPages reads a few events at a time.
func inPages(_ context.Context, _ eventstore.Store, after uint64) (eventstore.Query, error) {
	return eventstore.Query{After: after, Limit: 7}, nil
}

// woken waits for news before it reads them.
func woken(ctx context.Context, store eventstore.Store, after uint64) (eventstore.Query, error) {
	head, err := store.Wait(ctx, after)
	return eventstore.Query{After: after, Until: head}, err
}

// follow reads until it has seen total events, or until it has missed one.
func (f *subscriber) follow(ctx context.Context, p *pace, total int) error {
	for ; len(f.seen) < total; p.looked() {
		last, query, err := p.done(), eventstore.Query{After: f.after}, error(nil)
		if !last {
			query, err = f.next(ctx, f.store, f.after)
		}
		if err == nil && (query.Until == 0 || query.Until > f.after) {
			err = f.look(ctx, query)
		}
		if last && err == nil && len(f.seen) < total {
			err = errors.New("events were missed")
		}
		if err != nil {
			return fmt.Errorf("after %d of %d events: %w", len(f.seen), total, err)
		}
	}
	return nil
}

func (f *subscriber) look(ctx context.Context, query eventstore.Query) error {
	for e, err := range f.store.ReadAll(ctx, query) {
		if err != nil {
			return err
		}
		if e.Position <= f.after {
			return fmt.Errorf("position %d came after %d", e.Position, f.after)
		}
		f.seen, f.after = append(f.seen, e.ID), e.Position
	}
	return nil
}

func subscribers(t T, s subject) {
	const writers, appends = 16, 18
	const total = writers * (appends/3*1 + appends/3*3 + appends/3*4)
	ctx, cancel := s.patiently(t)
	defer cancel()
	readers := []*subscriber{
		{store: s.Store, next: upToHead},
		{store: s.Store, next: toTheEnd},
		{store: s.Store, next: inPages},
		{store: s.Store, next: woken},
		{store: s.other(), next: upToHead},
		{store: s.other(), next: woken},
	}
	shared := s.stream()
	p := newPace(writers)
	requireNone(t, promisetest.Race(writers+len(readers), func(i int) error {
		if i < writers {
			defer p.written()
			return s.writeMixed(ctx, p, shared, appends)
		}
		err := readers[i-writers].follow(ctx, p, total)
		if err != nil {
			cancel()
		}
		return err
	}))
	want := idsOf(s.readAll(t, eventstore.Query{}))
	require.Len(t, want, total)
	for i, reader := range readers {
		require.Equal(t, want, reader.seen, "subscriber %d", i)
	}
}

// writeMixed appends n times: one event, three at once, and four to two streams.
func (s subject) writeMixed(ctx context.Context, p *pace, shared eventstore.Stream, n int) error {
	own := s.stream()
	for i := range n {
		appends := []eventstore.Append{to(own, eventstore.Any(), drafts(1+2*(i%3%2))...)}
		if i%3 == 2 {
			appends = []eventstore.Append{to(own, eventstore.Any(), drafts(2)...), to(shared, eventstore.Any(), drafts(2)...)}
		}
		if _, err := s.Append(ctx, appends...); err != nil {
			return err
		}
		if i < n-1 { // after the very last append nobody may look any more
			p.wait(ctx)
		}
	}
	return nil
}

func positionsRise(t T, s subject) {
	for range 5 {
		s.seed(t, 3)
	}
	all := s.readAll(t, eventstore.Query{})
	require.Len(t, all, 15)
	require.NotZero(t, all[0].Position)
	for i := 1; i < len(all); i++ {
		require.Greater(t, all[i].Position, all[i-1].Position)
	}
	require.Equal(t, reversed(all), s.readAll(t, eventstore.Query{Direction: eventstore.Backward}))
	require.Equal(t, all, s.readAll(t, eventstore.Query{}), "a second look")
}

func headNeverFalls(t T, s subject) {
	const writers, appends = 4, 15
	require.Zero(t, s.head(t), "of an empty store")
	ctx, cancel := s.patiently(t)
	defer cancel()
	p := newPace(writers)
	requireNone(t, promisetest.Race(writers+2, func(i int) error {
		if i < writers {
			defer p.written()
			return s.watchOwnHead(ctx, p, appends)
		}
		for highest := uint64(0); !p.done(); p.looked() {
			head, err := s.Head(ctx)
			if err == nil && head < highest {
				err = fmt.Errorf("head fell from %d to %d", highest, head)
			}
			if err != nil {
				cancel()
				return err
			}
			highest = head
		}
		return nil
	}))
	last := s.append(t, s.stream(), eventstore.Any(), draft())
	require.Equal(t, last.Position, s.head(t))
}

// watchOwnHead appends, and requires that what it appended lies below the head
// soon: at the latest when the store says that the head has risen so far.
func (s subject) watchOwnHead(ctx context.Context, p *pace, n int) error {
	stream := s.stream()
	for range n {
		result, err := s.Append(ctx, to(stream, eventstore.Any(), draft()))
		if err != nil {
			return err
		}
		head, err := s.Wait(ctx, result.Position-1)
		if err != nil {
			return err
		}
		if head < result.Position {
			return fmt.Errorf("woken at head %d, below %d", head, result.Position)
		}
		p.wait(ctx)
	}
	return nil
}
