package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/evident-go/evident/eventstore"
)

// Atomically runs f in one READ COMMITTED transaction: what f appends through
// events and what it writes through tx is kept together, or not at all. If f
// returns an error or panics, everything is undone, and the error is returned
// as it is. After the commit whoever waits for events is told ([Store.Nudge]).
//
// f may run more than once, each time in a new transaction: PostgreSQL ends a
// transaction that is in a deadlock or cannot be serialised, and then f is run
// again, up to three times in all. So it must load anew what it decides on, and
// must do nothing that lasts but through tx and events. After the last attempt
// the error is [eventstore.ErrUnavailable]. A conflict is not tried again: it is
// returned, and the caller may call Atomically once more.
//
// If the connection is lost during the commit, nobody can say whether it has
// happened: [eventstore.ErrOutcomeUnknown]. Look before you try again. A failed
// statement whose error f has passed over is [ErrTxFailed], and nothing is kept.
//
// All that [Store.Within] says holds for events. The transaction is ended here:
// Commit and Rollback of tx return [ErrTxNotYours], savepoints by its Begin work.
// f must not append to the store itself or call Atomically: both can wait for the
// transaction, which waits for f.
func (s *Store) Atomically(ctx context.Context, f func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	for n := 1; ; n++ {
		err := s.atomically(ctx, f)
		if err == nil {
			s.Nudge()
			return nil
		}
		if !isCrossed(err) {
			return err
		}
		if n == attempts || ctx.Err() != nil {
			return s.failure("transaction", err)
		}
	}
}

// isCrossed reports whether a transaction was ended because another one was in
// its way, so that it may succeed if it is begun anew.
func isCrossed(err error) bool {
	code, ok := codeOf(err)
	return ok && (code == codeDeadlock || code == codeSerialization)
}

// atomically is one attempt.
func (s *Store) atomically(ctx context.Context, f func(context.Context, pgx.Tx, eventstore.Store) error) error {
	t, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(ctx) }() // after Commit it does nothing
	if err := f(ctx, t.PGX(), t.Events()); err != nil {
		return err
	}
	if err := t.passedOver(); err != nil {
		return err
	}
	if err := t.usable(ctx); err != nil {
		return err
	}
	// Of a connection that is lost, or that rows were left open on, no commit is sent.
	conn := t.base.Conn().PgConn()
	sent := !conn.IsClosed() && !conn.IsBusy()
	if err := t.Commit(ctx); err != nil {
		return ofCommit(err, sent)
	}
	return nil
}

// ofCommit returns what is said of a commit that failed: that nothing is kept,
// or that nobody knows. Only the server can say that a commit that was sent did
// not happen; what the driver thinks is safe to try again is not asked.
func ofCommit(err error, sent bool) error {
	if _, answered := errors.AsType[*pgconn.PgError](err); !sent || answered && !isUnsure(err) {
		return err
	}
	return fmt.Errorf("%w: the transaction may or may not have been committed: %w", eventstore.ErrOutcomeUnknown, err)
}
