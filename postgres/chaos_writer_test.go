package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
)

const tenantOfChaos = event.TenantID("north")

// hotStream is one that all writers write to, and what they believe of it.
type hotStream struct {
	eventstore.Stream

	version atomic.Uint64 // the last that anybody heard of
}

func newHotStreams(n int) []*hotStream {
	streams := make([]*hotStream, n)
	for i := range streams {
		streams[i] = &hotStream{Stream: eventstore.Stream{
			AggregateType: []string{"Account", "Order", "Basket"}[i%3], AggregateID: uuid.New(), TenantID: []event.TenantID{"", tenantOfChaos}[i%2],
		}}
	}
	return streams
}

func (h *hotStream) learn(version uint64) {
	for {
		if known := h.version.Load(); known >= version || h.version.CompareAndSwap(known, version) {
			return
		}
	}
}

// writer is one of many that get in each other's way.
type writer struct {
	t       *testing.T
	store   *postgres.Store
	streams []*hotStream
	ledger  *ledger
}

func (w *writer) run(ctx context.Context, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		default:
		}
		switch p := rand.IntN(100); {
		case p < 10:
			w.inTx(ctx, w.draw(), func(pgx.Tx) bool { return false })
		case p < 20:
			w.inTx(ctx, w.draw(), func(pgx.Tx) bool { pause(ctx, time.Duration(rand.IntN(200))*time.Millisecond); return true })
		case p < 28:
			w.inSteps(ctx)
		case p < 38:
			hurried, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(20_000))*time.Microsecond)
			w.send(ctx, hurried, false, w.draw())
			cancel()
		default:
			w.send(ctx, ctx, false, w.draw())
		}
	}
}

// draw makes an append of 1 to 4 streams with 1 to 5 events each.
func (w *writer) draw() []eventstore.Append { return w.drawFrom(w.streams) }

func (w *writer) drawFrom(streams []*hotStream) []eventstore.Append {
	appends := make([]eventstore.Append, 1+rand.IntN(4))
	for i, n := range rand.Perm(len(streams))[:len(appends)] {
		known := streams[n].version.Load()
		appends[i] = eventstore.Append{Stream: streams[n].Stream, Expected: expectation(known), Events: randomEvents(1 + rand.IntN(5))}
	}
	return appends
}

// expectation is mostly right, if nobody else is quicker.
func expectation(known uint64) eventstore.Expectation {
	switch p := rand.IntN(100); {
	case p < 70:
		return eventstore.Exact(known)
	case p < 90:
		return eventstore.Any()
	case p < 94 && known > 0:
		return eventstore.StreamExists()
	case p < 97:
		return eventstore.NoStream()
	default:
		return eventstore.Exact(known + 1_000_000)
	}
}

// newEvents returns n valid events.
func randomEvents(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = event.Event{
			ID: event.NewID(), Type: []string{"Opened", "Changed", "Closed"}[rand.IntN(3)], SchemaVersion: 1, CorrelationID: uuid.New(),
			OccurredAt: time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC), Data: []byte(`{"amount":4200}`),
		}
	}
	return events
}

// send appends, and sends again until there is an answer. The first time it
// has as long as hurried says. Told that nothing was stored, it sometimes takes
// the store at its word.
func (w *writer) send(ctx, hurried context.Context, unsure bool, appends []eventstore.Append) {
	for ; ctx.Err() == nil; hurried = ctx {
		result, err := w.store.Append(hurried, appends...)
		switch {
		case err == nil:
			w.kept(result, appends)
			return
		case errors.Is(err, eventstore.ErrConflict):
			w.learn(err)
			w.ledger.note(undone, "refused", appends...)
			return
		case errors.Is(err, eventstore.ErrOutcomeUnknown):
			w.ledger.tally("unknown")
			unsure = true
		case eventstore.IsRetryable(err), errors.Is(err, context.DeadlineExceeded):
			w.ledger.tally("unavailable")
			if !unsure && rand.IntN(2) == 0 {
				w.ledger.note(undone, "given up", appends...)
				return
			}
		default:
			w.t.Errorf("append: %v", err)
			return
		}
		pause(ctx, time.Duration(5+rand.IntN(50))*time.Millisecond)
	}
	w.t.Error("an append was never answered")
}

func (w *writer) kept(result eventstore.Result, appends []eventstore.Append) {
	w.ledger.note(kept, "kept", appends...)
	for i := range appends {
		w.hear(appends[i].Stream, result.Versions[i])
	}
}

func (w *writer) learn(err error) {
	if conflict, ok := errors.AsType[*eventstore.ConflictError](err); ok {
		w.hear(conflict.Stream, conflict.Actual)
	}
}

func (w *writer) hear(stream eventstore.Stream, version uint64) {
	for _, s := range w.streams {
		if s.Stream == stream {
			s.learn(version)
		}
	}
}

// inTx appends in a transaction of its own and then does what the caller says;
// false rolls back.
func (w *writer) inTx(ctx context.Context, appends []eventstore.Append, then func(tx pgx.Tx) bool) {
	tx, err := w.store.Pool().Begin(ctx)
	if err != nil {
		w.ledger.tally("no transaction")
		return
	}
	result, err := w.store.Within(tx).Append(ctx, appends...)
	if err != nil || !then(tx) {
		w.learn(err)
		_ = tx.Rollback(ctx) // on a connection that was killed it fails, and the server has done it
		w.ledger.note(undone, "rolled back", appends...)
		return
	}
	w.commit(ctx, tx, result, appends)
}

// commit commits. If the answer is lost, the same events are sent again.
func (w *writer) commit(ctx context.Context, tx pgx.Tx, result eventstore.Result, appends []eventstore.Append) {
	if err := tx.Commit(ctx); err != nil {
		w.ledger.tally("commit lost")
		w.send(ctx, ctx, true, appends)
		return
	}
	w.kept(result, appends)
	w.store.Nudge()
}

// inSteps appends, appends and undoes that with a savepoint, and appends once
// more, slowly. Halves of the streams keep the appends apart.
func (w *writer) inSteps(ctx context.Context) {
	half := len(w.streams) / 2
	inner, last := w.drawFrom(w.streams[:half]), w.drawFrom(w.streams[half:])
	tx, err := w.store.Pool().Begin(ctx)
	if err != nil {
		w.ledger.tally("no transaction")
		return
	}
	pause(ctx, time.Duration(rand.IntN(10))*time.Millisecond)
	undo := errors.New("undo")
	_ = pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		_, _ = w.store.Within(savepoint).Append(ctx, inner...) // it is undone, whatever becomes of it
		return undo
	})
	w.ledger.note(undone, "undone by a savepoint", inner...)
	pause(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
	result, err := w.store.Within(tx).Append(ctx, last...)
	if err != nil {
		w.learn(err)
		_ = tx.Rollback(ctx)
		w.ledger.note(undone, "rolled back", last...)
		return
	}
	pause(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
	w.commit(ctx, tx, result, last)
}
