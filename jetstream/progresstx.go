package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var _ projection.Tx = (*progressTx)(nil)

var (
	// ErrTxEnded says that a transaction was used after its Commit or Rollback.
	ErrTxEnded = errors.New("transaction has ended")
	// ErrTxConflict says that a transaction was not committed, since somebody else
	// has changed what was read in it. Doing all of it again may help.
	ErrTxConflict = errors.New("transaction was overtaken by another one")
)

// TxConflictError says what was changed. A projection's runner takes it for the
// fault of no event, and does the batch again.
type TxConflictError struct{ Key string } // of the bucket

// Error implements error.
func (e *TxConflictError) Error() string {
	return fmt.Sprintf("%v: %s has changed since it was read; nothing was written, try again", ErrTxConflict, e.Key)
}

// Is reports whether target is [ErrTxConflict].
func (e *TxConflictError) Is(target error) bool { return target == ErrTxConflict }

// Timeout reports false: nobody was waited for.
func (e *TxConflictError) Timeout() bool { return false }

// Temporary reports true: trying again may help.
func (e *TxConflictError) Temporary() bool { return true }

// progressTx is a transaction. It keeps what it writes in memory, and sends it
// with the commit. If somebody else was faster, what was done in it is decided
// anew on what is there then: a checkpoint that was moved meanwhile is
// [checkpoint.ErrMoved] also there. It is not safe for concurrent use.
type progressTx struct {
	progress *progress
	draft    *draft
	done     []operation       // what has written, in order
	turns    map[string]func() // gives back the letters of a version
	ended    bool
}

// Begin implements [projection.Progress]. It waits for nobody. Who asks for or
// changes dead letters in the transaction has the letters of the version for
// himself, in this process, until it ends; against other processes the commit
// decides. The end of ctx does not end the transaction.
func (p *progress) Begin(ctx context.Context) (projection.Tx, error) {
	if err := p.usable(ctx); err != nil {
		return nil, err
	}
	return &progressTx{progress: p, draft: newDraft(p.bucket)}, nil
}

// Checkpoints implements [projection.Tx].
func (t *progressTx) Checkpoints() checkpoint.Store { return checkpoints{session: t} }

// DeadLetters implements [projection.Tx].
func (t *progressTx) DeadLetters() dlq.Store { return deadLetters{session: t} }

// Registry implements [projection.Tx].
func (t *progressTx) Registry() registry.Store { return decisions{session: t} }

// Savepoint implements [projection.Tx]. Savepoints nest; what f did is undone
// when it panics, too.
func (t *progressTx) Savepoint(ctx context.Context, f func(ctx context.Context) error) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	mark, done, kept := t.draft.mark(), len(t.done), false
	defer func() {
		if !kept && !t.ended {
			t.draft.rollback(mark)
			t.done = t.done[:done]
		}
	}()
	err := f(ctx)
	kept = err == nil
	return err
}

// Commit implements [projection.Tx]. If ctx has ended before, nothing is written
// and the error says so. Errors: [ErrTxConflict]; [ErrUnavailable] if it is not
// known whether it was written; those of the ports, if what was decided in the
// transaction does not hold any more; [event.ErrTooLarge] for more than 1,000
// changes.
func (t *progressTx) Commit(ctx context.Context) error {
	err := t.usable(ctx)
	if t.ended {
		return err
	}
	defer t.end()
	if err != nil {
		return err
	}
	return t.progress.settle(ctx, t.draft, t.done)
}

// Rollback implements [projection.Tx]. It works when ctx has ended, too.
func (t *progressTx) Rollback(context.Context) error {
	t.end()
	return nil
}

// end ends the transaction. After the first time it does nothing.
func (t *progressTx) end() {
	t.ended = true
	for _, release := range t.turns {
		release()
	}
	t.turns = nil
}

func (t *progressTx) usable(ctx context.Context) error {
	if err := t.progress.usable(ctx); err != nil {
		return err
	}
	if t.ended {
		return ErrTxEnded
	}
	return nil
}

// look implements session.
func (t *progressTx) look(ctx context.Context, f operation) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	return untorn(f(ctx, t.draft))
}

// change implements session.
func (t *progressTx) change(ctx context.Context, f operation) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	mark := t.draft.mark()
	if err := f(ctx, t.draft); err != nil {
		t.draft.rollback(mark)
		return untorn(err)
	}
	t.done = append(t.done, f)
	return nil
}

// untorn says what it means for a transaction that others write what it reads.
func untorn(err error) error {
	if errors.Is(err, errTorn) {
		return &TxConflictError{Key: "a letter"}
	}
	return err
}

// hold implements session. The turn is given back when the transaction ends. Of a
// second version it is not waited for: somebody may wait for the first the other
// way round.
func (t *progressTx) hold(ctx context.Context, projection string, version int, _ access) (func(), error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	key := versionKey("", projection, version)
	if t.turns[key] != nil {
		return func() {}, nil
	}
	release, err := t.takeTurn(ctx, key)
	if err != nil {
		return nil, err
	}
	t.turns[key] = release
	return func() {}, nil
}

func (t *progressTx) takeTurn(ctx context.Context, key string) (func(), error) {
	if len(t.turns) == 0 {
		t.turns = make(map[string]func())
		return t.progress.turns.take(ctx, key)
	}
	if release, _ := t.progress.turns.try(key); release != nil {
		return release, nil
	}
	return nil, &TxConflictError{Key: letterKeys + key}
}

// clock implements session.
func (t *progressTx) clock(ctx context.Context) (time.Time, error) { return t.progress.clock(ctx) }
