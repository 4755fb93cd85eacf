package projectiontest

import (
	"context"
	"errors"

	"github.com/evident-go/evident/projection"
)

// InTx returns what the suites of checkpoints and dead letters need: a function
// that runs another in a transaction of store, with a port that is bound to it.
// It commits, or, if that function fails, rolls back and returns its error.
//
//	checkpointtest.Harness{
//		Store: store.Checkpoints(),
//		InTx:  projectiontest.InTx(store, projection.Tx.Checkpoints),
//	}
func InTx[P any](store projection.Progress, bind func(tx projection.Tx) P) func(context.Context, func(context.Context, P) error) error {
	return func(ctx context.Context, f func(context.Context, P) error) error {
		tx, err := store.Begin(ctx)
		if err != nil {
			return err
		}
		if err := f(ctx, bind(tx)); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
		if err := tx.Commit(ctx); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
		return nil
	}
}
