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

// Held is a transaction that has appended and is still open. A pgx.Tx is one.
type Held interface {
	// Commit ends the transaction and keeps what was appended.
	Commit(ctx context.Context) error
	// Rollback ends the transaction and undoes what was appended. After Commit
	// its error does not matter.
	Rollback(ctx context.Context) error
}

// HeldOpen says how to append to a store in a transaction of the caller's own,
// which stays open beside other appends. The appended events may have their
// positions by then; nobody may see them before the commit. Store is what the
// suite's factory has returned.
//
// Without it the store is taken at its word that no append is ever held open:
// in place of a transaction the suite appends when it would commit.
func HeldOpen(open func(ctx context.Context, store eventstore.Store, appends ...eventstore.Append) (Held, error)) Option {
	return func(s *suite) { s.held = open }
}

// late is what stands for a transaction where there are none: an append that
// begins when it commits.
type late struct {
	store   eventstore.Store
	appends []eventstore.Append
}

func openLate(_ context.Context, store eventstore.Store, appends ...eventstore.Append) (Held, error) {
	return &late{store: store, appends: appends}, nil
}

// Commit implements [Held].
func (l *late) Commit(ctx context.Context) error {
	_, err := l.store.Append(ctx, l.appends...)
	return err
}

// Rollback implements [Held].
func (l *late) Rollback(context.Context) error { return nil }

func heldOpen() []clause {
	return []clause{
		{Name: "a writer that is held open and commits late is not skipped", Check: func(t T, s subject) { s.besideHeld(t, Held.Commit) }},
		{Name: "a writer that is held open and rolls back leaves nothing and holds nobody up", Check: func(t T, s subject) { s.besideHeld(t, Held.Rollback) }},
		{Name: "writers that are held open and commit in another order are not skipped", Check: crossed},
	}
}

// hold opens a transaction that has appended to a new stream.
func (s subject) hold(ctx context.Context) (Held, error) {
	return s.held(ctx, s.Store, to(s.stream(), eventstore.Any(), drafts(2)...))
}

// besideHeld has subscribers follow the log while one writer holds its append
// open and others go on, until that one ends.
func (s subject) besideHeld(t T, end func(held Held, ctx context.Context) error) {
	t.Helper()
	s.followed(t, func(ctx context.Context, p *pace) error {
		held, err := s.hold(ctx)
		if err != nil {
			return err
		}
		defer abandon(ctx, held)
		return errors.Join(s.busy(ctx, p), end(held, ctx), s.busy(ctx, p))
	})
}

// crossed holds two appends open that overlap; the second one commits first.
func crossed(t T, s subject) {
	s.followed(t, func(ctx context.Context, p *pace) error {
		first, err := s.hold(ctx)
		if err != nil {
			return err
		}
		defer abandon(ctx, first)
		if err := s.busy(ctx, p); err != nil {
			return err
		}
		second, err := s.hold(ctx)
		if err != nil {
			return err
		}
		defer abandon(ctx, second)
		return errors.Join(s.busy(ctx, p), second.Commit(ctx), s.busy(ctx, p), first.Commit(ctx))
	})
}

// abandon rolls back what may be open still.
func abandon(ctx context.Context, held Held) {
	_ = held.Rollback(context.WithoutCancel(ctx)) // it says so if it has ended already
}

// busy has two writers append while subscribers look. They must not have to
// wait for an append that is held open.
func (s subject) busy(ctx context.Context, p *pace) error {
	return errors.Join(promisetest.Race(2, func(int) error {
		stream := s.stream()
		for range 4 {
			if _, err := s.Append(ctx, to(stream, eventstore.Any(), drafts(2)...)); err != nil {
				return fmt.Errorf("append beside one that is held open: %w", err)
			}
			p.wait(ctx)
		}
		return nil
	})...)
}

// followed has subscribers follow the log until write is done and one event
// more has been appended. By then each must have seen what there is, in order.
func (s subject) followed(t T, write func(ctx context.Context, p *pace) error) {
	t.Helper()
	ctx, cancel := s.patiently(t)
	defer cancel()
	s.seed(t, 1)
	readers := []*subscriber{
		{store: s.Store, next: upToHead},
		{store: s.Store, next: toTheEnd},
		{store: s.Store, next: inPages},
		{store: s.Store, next: woken},
		{store: s.other(), next: upToHead},
		{store: s.other(), next: woken},
	}
	final, p := draft(), newPace(1)
	requireNone(t, promisetest.Race(1+len(readers), func(i int) error {
		err := func() error {
			if i > 0 {
				return readers[i-1].until(ctx, p, final.ID)
			}
			if err := write(ctx, p); err != nil {
				return err
			}
			_, err := s.Append(ctx, to(s.stream(), eventstore.Any(), final))
			return err
		}()
		if err != nil {
			cancel()
		}
		return err
	}))
	want := idsOf(s.readAll(t, eventstore.Query{}))
	for i, reader := range readers {
		require.Equal(t, want, reader.seen, "subscriber %d", i)
	}
}

// until reads until it has seen the last event.
func (f *subscriber) until(ctx context.Context, p *pace, last uuid.UUID) error {
	for ; len(f.seen) == 0 || f.seen[len(f.seen)-1] != last; p.looked() {
		query, err := f.next(ctx, f.store, f.after)
		if err == nil && (query.Until == 0 || query.Until > f.after) {
			err = f.look(ctx, query)
		}
		if err != nil {
			return fmt.Errorf("after %d events: %w", len(f.seen), err)
		}
	}
	return nil
}
