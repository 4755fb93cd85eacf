package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/registry"
)

// Store is an event store that also has a place for the progress of
// projections. Every store of this module is one.
type Store interface {
	eventstore.Store
	Progress
}

// Progress is where a runner keeps how far its projections have come, which
// events they could not apply, and who runs them: usually the event store's
// own database, or that of the read models.
//
// Projections whose target lives in memory need progress that is forgotten
// with it: run them with the progress of a memory store.
type Progress interface {
	// Checkpoints returns the checkpoints.
	Checkpoints() checkpoint.Store
	// DeadLetters returns the dead letters.
	DeadLetters() dlq.Store
	// Leases returns the leases.
	Leases() lease.Store
	// Registry returns what is decided about projections.
	Registry() registry.Store
	// Begin starts a transaction. It must be ended by Commit or Rollback. It
	// waits for its turn where only one can run at a time.
	Begin(ctx context.Context) (Tx, error)
}

// progressOf returns progress, or that which the event store has itself.
func progressOf(events eventstore.Store, progress Progress) (Progress, error) {
	if progress != nil {
		return progress, nil
	}
	own, ok := events.(Progress)
	if !ok {
		return nil, &event.InvalidError{Field: "progress", Reason: fmt.Sprintf("must be set: the event store (%T) has no place for checkpoints", events)}
	}
	return own, nil
}

// ErrTxUndone says that a transaction was undone as a whole by something that
// happened in it, such as a statement after which a database rolls back. Stores
// return it, joined with the cause, from whatever is done in it afterwards; the
// runner then applies each event in a transaction of its own, to find the one at
// fault.
var ErrTxUndone = errors.New("transaction was undone by what happened in it")

// Tx is one transaction of a store. What is done through it happens whole or
// not at all. It is not safe for concurrent use.
type Tx interface {
	// Checkpoints returns the checkpoints, bound to the transaction.
	Checkpoints() checkpoint.Store
	// DeadLetters returns the dead letters, bound to the transaction.
	DeadLetters() dlq.Store
	// Registry returns what is decided about projections, bound to the transaction.
	Registry() registry.Store
	// Savepoint runs f and, if f returns an error, undoes what f did through the
	// transaction and returns that error. The transaction stays usable.
	Savepoint(ctx context.Context, f func(ctx context.Context) error) error
	// Commit ends the transaction and keeps what was done.
	Commit(ctx context.Context) error
	// Rollback ends the transaction and undoes what was done. After Commit it
	// does nothing.
	Rollback(ctx context.Context) error
}

// TxAs returns tx as an adapter's own type, looking through decorators that
// have an Unwrap method, and whether it is one.
func TxAs[T any](tx Tx) (T, bool) {
	for tx != nil {
		if own, ok := tx.(T); ok {
			return own, true
		}
		wrapped, ok := tx.(interface{ Unwrap() Tx })
		if !ok {
			break
		}
		tx = wrapped.Unwrap()
	}
	var none T
	return none, false
}
