package aggregatetest

import (
	"context"

	"github.com/evident-go/evident/aggregate"
)

// Decided is the aggregate to test a [aggregate.Decider] with:
//
//	aggregatetest.Given[aggregatetest.Decided[Account]](t, accounts.Definition, Opened{}).
//		When(aggregatetest.Decide(accounts, Withdraw{Amount: 5})).
//		ThenError(ErrNoFunds)
type Decided[S any] struct{ aggregate.AggregateRoot[S] }

// Decide returns the action of giving command to decider.
func Decide[S, C any](decider aggregate.Decider[S, C], command C) func(context.Context, *Decided[S]) error {
	return func(ctx context.Context, a *Decided[S]) error {
		payloads, err := decider.Decide(ctx, a.State(), command)
		if err != nil {
			return err
		}
		return a.Emit(ctx, payloads...)
	}
}
