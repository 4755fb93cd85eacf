package memory

import (
	"context"
	"errors"
	"time"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/registry"
)

// ErrTxEnded says that a transaction was used after its Commit or Rollback.
var ErrTxEnded = errors.New("transaction has ended")

// tx is a transaction over checkpoints and dead letters: the only one that
// writes until it ends, so that what it read stays true.
type tx struct {
	ports *ports
	view  *view // nil once the transaction has ended
}

// Checkpoints implements [projection.Tx].
func (t *tx) Checkpoints() checkpoint.Store { return checkpoints{session: t} }

// DeadLetters implements [projection.Tx].
func (t *tx) DeadLetters() dlq.Store { return deadLetters{session: t} }

// Registry implements [projection.Tx].
func (t *tx) Registry() registry.Store { return decisions{session: t} }

// Savepoint implements [projection.Tx]. Savepoints nest; what f did is undone
// when it panics, too.
func (t *tx) Savepoint(ctx context.Context, f func(ctx context.Context) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	j := t.view.journal
	mark, done := j.open(), false
	defer func() {
		if !done {
			j.rollback(mark)
		}
		j.release()
	}()
	err := f(ctx)
	done = err == nil
	return err
}

// Commit implements [projection.Tx]. If ctx has ended or the store was closed,
// what was done is undone, and the error says so.
func (t *tx) Commit(ctx context.Context) error {
	defer t.end()
	if err := t.usable(ctx); err != nil {
		return err
	}
	t.ports.mu.Lock()
	defer t.ports.mu.Unlock()
	t.view.commit()
	return nil
}

// Rollback implements [projection.Tx]. It works when ctx has ended, too.
func (t *tx) Rollback(context.Context) error {
	t.end()
	return nil
}

// end gives the writer's place up. After the first time it does nothing.
func (t *tx) end() {
	if t.view != nil {
		t.view = nil
		<-t.ports.writer
	}
}

func (t *tx) usable(ctx context.Context) error {
	if t.view == nil {
		return ErrTxEnded
	}
	return t.ports.usable(ctx)
}

// read implements session. It needs no lock: nobody else may commit.
func (t *tx) read(ctx context.Context, f func(v *view) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	return f(t.view)
}

// write implements session.
func (t *tx) write(ctx context.Context, f func(v *view) error) error { return t.read(ctx, f) }

func (t *tx) clock() time.Time { return t.ports.clock() }
