package projection

import (
	"context"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
)

// Store is what a runner needs of a store: its events, and a place in the same
// store for checkpoints, dead letters and leases. Every store of this module
// is one.
type Store interface {
	eventstore.Store

	// Checkpoints returns the store's checkpoints.
	Checkpoints() checkpoint.Store
	// DeadLetters returns the store's dead letters.
	DeadLetters() dlq.Store
	// Leases returns the store's leases.
	Leases() lease.Store
	// Begin starts a transaction. It must be ended by Commit or Rollback.
	Begin(ctx context.Context) (Tx, error)
}

// Tx is one transaction of a store. What is done through it happens whole or
// not at all. It is not safe for concurrent use.
type Tx interface {
	// Checkpoints returns the checkpoints, bound to the transaction.
	Checkpoints() checkpoint.Store
	// DeadLetters returns the dead letters, bound to the transaction.
	DeadLetters() dlq.Store
	// Savepoint runs f and, if f returns an error, undoes what f did through the
	// transaction and returns that error. The transaction stays usable.
	Savepoint(ctx context.Context, f func(ctx context.Context) error) error
	// Commit ends the transaction and keeps what was done.
	Commit(ctx context.Context) error
	// Rollback ends the transaction and undoes what was done. After Commit it
	// does nothing.
	Rollback(ctx context.Context) error
}
