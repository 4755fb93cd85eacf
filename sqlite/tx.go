package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

var _ projection.Tx = (*Tx)(nil)

// Tx is one transaction of a store, and implements [projection.Tx]. While it
// lasts nobody else writes to the file: appends and other transactions wait.
type Tx struct {
	store *Store
	sql   *sql.Tx

	mu     sync.Mutex
	ended  error // why it cannot be used any more; nil while it can
	undone error // that SQLite has undone it; it has still to be ended
}

// Begin implements [projection.Progress]. It waits for the transaction or the
// appends that are being written, and up to [Config.BusyTimeout] for other
// processes. What it returns is a [*Tx]. The end of ctx ends the waiting, not
// the transaction.
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
	if err := s.writer.acquire(ctx); err != nil {
		return nil, err
	}
	started, err := s.writer.beginTx(ctx)
	if err != nil {
		s.writer.release()
		return nil, translate("begin", s.config.Path, err)
	}
	t := &Tx{store: s, sql: started}
	s.mu.Lock()
	s.open = t
	s.mu.Unlock()
	if s.usable(context.WithoutCancel(ctx)) != nil { // Close may have looked for it too early
		t.abort()
	}
	return t, nil
}

// SQL returns the transaction for statements of the caller's own. It must not
// be committed or rolled back there: SQLite refuses such a commit and undoes
// the transaction.
func (t *Tx) SQL() *sql.Tx { return t.sql }

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
	if err := t.exec(ctx, "SAVEPOINT nested"); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, t.endNested(ctx, "ROLLBACK TO nested"))
		}
		err = errors.Join(err, t.endNested(ctx, "RELEASE nested"))
	}()
	err = f(ctx)
	done = err == nil
	return err
}

// endNested ends a savepoint. If that fails there is none any more: SQLite has
// undone the whole transaction, and another SAVEPOINT would begin a new one, in
// which what follows would be kept without what went before.
func (t *Tx) endNested(ctx context.Context, statement string) error {
	err := t.exec(ctx, statement)
	if err == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.undone = projection.ErrTxUndone
	return errors.Join(t.undone, err)
}

// exec runs a statement that must not be left out because ctx has ended.
func (t *Tx) exec(ctx context.Context, statement string) error {
	_, err := t.sql.ExecContext(context.WithoutCancel(ctx), statement)
	return t.translate("savepoint", err)
}

// Commit implements [projection.Tx]. If ctx has ended, what was done is undone
// and the error says so; so, too, if SQLite has undone it before.
func (t *Tx) Commit(ctx context.Context) error {
	if err := t.usable(ctx); err != nil {
		return errors.Join(err, t.end(ErrTxEnded, t.undo))
	}
	return t.end(ErrTxEnded, func() error { return t.store.writer.commitTx(t.sql) })
}

// Rollback implements [projection.Tx]. It works when ctx has ended, too.
func (t *Tx) Rollback(context.Context) error {
	return t.end(ErrTxEnded, t.undo)
}

// undo rolls back, unless somebody has ended the transaction already: SQLite
// after an error that it cannot go on from, or a handler.
func (t *Tx) undo() error {
	err := unlessEnded(t.sql.Rollback())
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// abort ends a transaction that the store's closing has overtaken.
func (t *Tx) abort() {
	// Rolled back or not, it is over: closing the connection sees to that.
	_ = t.end(eventstore.ErrClosed, t.undo)
}

// end ends the transaction with f and gives the turn up. After the first time
// it does nothing.
func (t *Tx) end(reason error, f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return nil
	}
	err := f() // a COMMIT that fails leaves nothing to undo
	t.ended = reason
	t.store.mu.Lock()
	t.store.open = nil
	t.store.mu.Unlock()
	t.store.writer.release()
	return t.translate("end transaction", err)
}

func (t *Tx) usable(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return t.ended
	}
	if t.undone != nil {
		return t.undone
	}
	return ctx.Err()
}

func (t *Tx) translate(op string, err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("%s: %w", op, ErrTxEnded)
	}
	return translate(op, t.store.config.Path, err)
}

// read implements session.
func (t *Tx) read(ctx context.Context, op string, f func(q querier) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	return t.translate(op, f(t.sql))
}

// write implements session.
func (t *Tx) write(ctx context.Context, op string, f func(q querier) error) error {
	return t.read(ctx, op, f)
}

func (t *Tx) clock() time.Time { return t.store.clock() }
