package bank_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/examples/testing/bank"
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	require.NoError(t, bank.Accounts().Validate())
}

//docs:begin then
func TestWithdraw(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[bank.Account](t, bank.Accounts(), bank.Opened{}, bank.Deposited{Cents: 500}).
		When(func(ctx context.Context, a *bank.Account) error { return a.Withdraw(ctx, 200) }).
		Then(bank.Withdrawn{Cents: 200}).
		ThenState(bank.State{Open: true, Cents: 300})
}

//docs:end then

//docs:begin refused
func TestRefused(t *testing.T) {
	t.Parallel()
	opened := []event.Payload{bank.Opened{}, bank.Deposited{Cents: 500}}
	for name, c := range map[string]struct {
		given []event.Payload
		when  func(ctx context.Context, a *bank.Account) error
		want  error
	}{
		"open twice":        {opened, func(ctx context.Context, a *bank.Account) error { return a.Open(ctx) }, bank.ErrOpen},
		"deposit unopened":  {nil, func(ctx context.Context, a *bank.Account) error { return a.Deposit(ctx, 1) }, bank.ErrNotOpen},
		"deposit nothing":   {opened, func(ctx context.Context, a *bank.Account) error { return a.Deposit(ctx, 0) }, bank.ErrAmount},
		"withdraw too much": {opened, func(ctx context.Context, a *bank.Account) error { return a.Withdraw(ctx, 501) }, bank.ErrFunds},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.Given[bank.Account](t, bank.Accounts(), c.given...).When(c.when).ThenError(c.want)
		})
	}
}

//docs:end refused

// Who did it stands on the event, not in the payload.
func TestActor(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[bank.Account](t, bank.Accounts()).
		As(event.User("alice")).
		When(func(ctx context.Context, a *bank.Account) error { return a.Open(ctx) }).
		ThenEvents(func(events []event.Event) {
			require.Len(t, events, 1)
			assert.Equal(t, event.User("alice"), events[0].ActorID)
			assert.Equal(t, aggregatetest.Time(), events[0].OccurredAt)
		})
}

// What an older program stored must still be read.
func TestStoredBytes(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[bank.Account](t, bank.Accounts()).
		Stored(
			event.Event{Type: "AccountOpened", Data: []byte(`{}`)},
			event.Event{Type: "MoneyDeposited", Data: []byte(`{"cents":500,"branch":"closed since"}`)},
		).
		When(func(ctx context.Context, a *bank.Account) error { return a.Withdraw(ctx, 500) }).
		ThenState(bank.State{Open: true})
}
