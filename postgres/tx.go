package postgres

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

var _ projection.Tx = (*Tx)(nil)

// Tx is one transaction of a store, and implements [projection.Tx]. It is not
// safe for concurrent use.
type Tx struct {
	store *Store
	route route // over the connection of base
	base  pgx.Tx

	mu    sync.Mutex
	inner pgx.Tx // the innermost savepoint, or base
	ended error  // why it cannot be used any more; nil while it can
}

// Begin implements [projection.Progress]. What it returns is a [*Tx]. It waits
// while all connections of the pool are in use. The end of ctx ends the
// waiting, not the transaction.
func (s *Store) Begin(ctx context.Context) (projection.Tx, error) {
	t, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (s *Store) begin(ctx context.Context) (*Tx, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	scope, free := s.scope(ctx)
	defer free()
	base, err := s.pool.BeginTx(scope, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return nil, s.failure("begin", err)
	}
	t := &Tx{store: s, route: s.route, base: base, inner: base}
	s.mu.Lock()
	s.open[t] = struct{}{}
	s.mu.Unlock()
	if s.life.Err() != nil { // Close may have looked for it too early
		t.abort()
	}
	return t, nil
}

// PGX returns the transaction for statements of the caller's own, within the
// innermost savepoint. Its Commit and Rollback do nothing but return
// [ErrTxNotYours]; those of a savepoint, which its Begin returns, work.
func (t *Tx) PGX() pgx.Tx { return lent{t.inner} }

// lent is a transaction that belongs to somebody else.
type lent struct{ pgx.Tx }

// Commit refuses to.
func (lent) Commit(context.Context) error { return ErrTxNotYours }

// Rollback refuses to.
func (lent) Rollback(context.Context) error { return ErrTxNotYours }

// Events returns the event store within the transaction; see [Store.Within].
func (t *Tx) Events() eventstore.Store { return t.store.Within(t.inner) }

// Checkpoints implements [projection.Tx].
func (t *Tx) Checkpoints() checkpoint.Store { return checkpoints{session: t} }

// DeadLetters implements [projection.Tx].
func (t *Tx) DeadLetters() dlq.Store { return deadLetters{session: t} }

// Savepoint implements [projection.Tx]. Savepoints nest; what f did is undone
// when it panics, too.
func (t *Tx) Savepoint(ctx context.Context, f func(ctx context.Context) error) (err error) {
	if err := t.usable(ctx); err != nil {
		return err
	}
	outer := t.inner
	nested, err := outer.Begin(ctx)
	if err != nil {
		return t.failure("savepoint", err)
	}
	t.inner = nested
	done := false
	defer func() {
		t.inner = outer
		lasting, cancel := toEnd(ctx)
		defer cancel()
		if done {
			err = t.failure("savepoint", nested.Commit(lasting))
		} else {
			err = errors.Join(err, t.failure("savepoint", nested.Rollback(lasting)))
		}
	}()
	if err = f(ctx); err == nil {
		err = t.passedOver()
	}
	done = err == nil
	return err
}

// longestEnd is how long the server may take to end a savepoint or to roll back.
// One that is silent for so long is given up, and the connection with it.
const longestEnd = 5 * time.Second

// toEnd returns a context for ending something, whatever has become of ctx.
func toEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), longestEnd)
}

// What a connection says of its transaction.
const (
	txNone   = 'I'
	txFailed = 'E'
)

// passedOver returns an error if a statement has failed since the innermost
// savepoint, though nobody says so: the database will keep nothing. So, too, if
// the transaction was ended by a statement.
func (t *Tx) passedOver() error {
	switch conn := t.base.Conn().PgConn(); {
	case conn.IsClosed():
		return nil // which the next statement says
	case conn.TxStatus() == txFailed:
		return t.failure("transaction", ErrTxFailed)
	case conn.TxStatus() == txNone:
		return t.failure("transaction", ErrTxEnded)
	}
	return nil
}

// Commit implements [projection.Tx]. If ctx has ended, what was done is undone
// and the error says so; so, too, if a statement has failed before.
func (t *Tx) Commit(ctx context.Context) error {
	if err := t.usable(ctx); err != nil {
		return errors.Join(err, t.end(ctx, ErrTxEnded, t.base.Rollback))
	}
	return t.end(ctx, ErrTxEnded, t.base.Commit)
}

// Rollback implements [projection.Tx]. It works when ctx has ended, too.
func (t *Tx) Rollback(ctx context.Context) error {
	lasting, cancel := toEnd(ctx)
	defer cancel()
	err := t.end(lasting, ErrTxEnded, func(ctx context.Context) error {
		if err := t.base.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			return err
		}
		return nil // it was over already
	})
	if errors.Is(err, ErrTxEnded) || errors.Is(err, eventstore.ErrClosed) {
		return nil // and so it was before
	}
	return err
}

// abort ends a transaction that the store's closing has overtaken. Its owner
// may be in the middle of a statement, so the way to the server is cut: it
// undoes the transaction by itself.
func (t *Tx) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return
	}
	t.ended = eventstore.ErrClosed
	_ = t.base.Conn().PgConn().Conn().Close() // closed is what it shall be
	t.forget()
}

// end ends the transaction with f. After the first time it only says why it had
// ended.
func (t *Tx) end(ctx context.Context, reason error, f func(context.Context) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		if errors.Is(t.ended, eventstore.ErrClosed) {
			_ = t.base.Rollback(context.WithoutCancel(ctx)) // gives the dead connection back
		}
		return t.ended
	}
	t.ended = reason
	t.forget()
	err := f(ctx)
	return t.failure("end transaction", err)
}

// forget takes the transaction off the store's list.
func (t *Tx) forget() {
	t.store.mu.Lock()
	delete(t.store.open, t)
	t.store.mu.Unlock()
}

func (t *Tx) usable(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return t.ended
	}
	if conn := t.base.Conn().PgConn(); conn.TxStatus() == txNone && !conn.IsClosed() {
		return ErrTxEnded // by somebody else; what follows would be kept by itself
	}
	return ctx.Err()
}

func (t *Tx) failure(op string, err error) error {
	if errors.Is(err, pgx.ErrTxClosed) {
		return errors.Join(ErrTxEnded, err)
	}
	return t.store.failure(op, err)
}

// conn is what a pool and a transaction have in common.
type conn interface {
	querier
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
}
