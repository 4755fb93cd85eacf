package postgres

import (
	"context"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Within returns the store within a transaction of the caller's own, on the
// same database: its appends are stored when the caller commits, together with
// whatever else the transaction does, and its ReadStream sees them before.
// Repositories work on it as on any store. [Tx.Events] is the same for a [*Tx].
//
// [Store.Atomically] begins and ends such a transaction. Who does so himself
// calls [Store.Nudge] after the commit.
//
// The transaction should be READ COMMITTED, as it is unless the server, the
// database or the role says otherwise. At a higher level it does not see what
// was committed after its first statement, so that a race which it has lost is
// not a conflict, but an error of the database that ends it.
//
// From its first append on it holds back the head of all readers, and keeps
// those waiting who append to the same streams, so it should be short. Two
// transactions that append to the same streams in different order can block each
// other; then PostgreSQL ends one with an error that is
// [eventstore.ErrUnavailable]. An Update of a repository on it tries again, and
// pauses, while the transaction stays open: prefer Load and Save, and on a
// conflict a new transaction.
//
// Inline projections run in it ([Config.Inline]). An append that one of them
// refuses is undone alone, and the [*InlineError] leaves the transaction usable.
//
// What is read from all streams, and the head, are those of the store: the
// transaction's own events are not in them.
//
// The store within a transaction is no safer for concurrent use than the
// transaction, and its Close does nothing.
func (s *Store) Within(tx pgx.Tx) eventstore.Store {
	return &within{Store: s, tx: tx, route: routeOf(tx.Conn().Config())}
}

type within struct {
	*Store

	tx    pgx.Tx
	route route // of the pool that the transaction comes from, which may be another than the store's
}

// Append implements [eventstore.Store]. A refusal, such as a conflict, a stored
// event id, a limit or an [*InlineError], leaves the transaction usable; another
// error does not.
func (w *within) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	r, err := newRequest(w.config.Limits, appends)
	if err != nil {
		return eventstore.Result{}, err
	}
	if err := w.writable(ctx); err != nil {
		return eventstore.Result{}, err
	}
	// An id that is stored would end the transaction, so look first.
	if result, refusal, err := w.repeat(ctx, w.tx, r); err != nil || refusal != nil || result.Position > 0 {
		if err != nil {
			return eventstore.Result{}, w.failure("append", err)
		}
		return result, refusal
	}
	t := &Tx{store: w.Store, route: w.route, base: w.tx, inner: w.tx}
	var v verdict
	err = w.withInline(ctx, w.tx, func(in *inline) error {
		v, err = w.sendOneInline(ctx, t, in, r, len(w.inline.projections) == 0, true)
		return err
	})
	switch {
	case err != nil:
		return eventstore.Result{}, w.failure("append", err)
	case v.err == nil && !v.accepted:
		return eventstore.Result{}, v.refusal(r)
	default:
		return v.result(r), v.err
	}
}

// ReadStream implements [eventstore.Store]: with the transaction's own events.
// A range over it must have ended before the transaction is used again.
func (w *within) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return w.readStream(ctx, w.tx, false, stream, query)
}

// Close implements [eventstore.Store]. The store goes on.
func (w *within) Close() error { return nil }
