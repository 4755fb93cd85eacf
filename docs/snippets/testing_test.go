package snippets_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectiontest"
)

//docs:begin given-when-then

func TestWithdraw(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[Account](t, accounts, Opened{Owner: "alice"}, Deposited{Cents: 100}).
		As(event.User("alice")).
		When(func(ctx context.Context, a *Account) error { return a.Withdraw(ctx, 30) }).
		Then(Withdrawn{Cents: 30}).
		ThenState(Balance{Owner: "alice", Cents: 70})
}

func TestWithdrawTooMuch(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[Account](t, accounts, Opened{Owner: "alice"}).
		When(func(ctx context.Context, a *Account) error { return a.Withdraw(ctx, 30) }).
		ThenError(ErrNoFunds) // and nothing was emitted
}

//docs:end given-when-then

//docs:begin stored

func TestOldDeposit(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[Account](t, accounts).
		Stored(event.Event{Type: "Deposited", SchemaVersion: 1, Data: []byte(`{"cents":7,"branch":"Ulm"}`)}).
		When(func(context.Context, *Account) error { return nil }).
		ThenNothing().
		ThenState(Balance{Cents: 7})
}

//docs:end stored

//docs:begin decide

func TestLamp(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[aggregatetest.Decided[bool]](t, lamps).
		When(aggregatetest.Decide(lampDecider, true)).
		Then(Switched{})
}

//docs:end decide

//docs:begin definitions

func TestDefinitions(t *testing.T) {
	t.Parallel()
	require.NoError(t, accounts.Validate())
	require.NoError(t, carts.Validate())
}

//docs:end definitions

func openMemory(t *testing.T) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

//docs:begin projection

func TestBalances(t *testing.T) {
	t.Parallel()
	balances := newBalances()
	driver := projectiontest.New(t, openMemory(t), balances.Projection())

	driver.Append(t.Context(), "Account", aliceID, Deposited{Cents: 100}, Withdrawn{Cents: 30})
	driver.CatchUp(t.Context()) // an event that parks fails the test
	require.Equal(t, int64(70), balances.cents[aliceID])

	driver.Replay(t.Context(), "balances")
	require.Equal(t, int64(70), balances.cents[aliceID])
}

//docs:end projection

func TestPoison(t *testing.T) {
	t.Parallel()
	broken := projection.New("broken", 1, projection.On(func(context.Context, event.Of[Deposited]) error {
		return projection.AsPoison(errors.New("no"))
	}))
	driver := projectiontest.New(t, openMemory(t), broken)
	driver.Append(t.Context(), "Account", aliceID, Deposited{Cents: 100})
	//docs:begin parking
	status := driver.CatchUpParking(t.Context())
	require.Equal(t, 1, status[0].DeadLetters.Letters)
	//docs:end parking
}

//docs:begin faults

func TestDepositWithALostAnswer(t *testing.T) {
	t.Parallel()
	faults := eventstoretest.NewFaults(openMemory(t))
	repo := aggregate.NewRepository[Account](faults, accounts)

	faults.FailAppend(eventstoretest.After, &eventstore.OutcomeUnknownError{Err: context.DeadlineExceeded})
	err := repo.Update(t.Context(), aliceID, func(a *Account) error { return a.Deposit(t.Context(), 100) })
	require.NoError(t, err) // the same event was sent again

	a, err := repo.Load(t.Context(), aliceID)
	require.NoError(t, err)
	require.Equal(t, uint64(1), a.Version()) // and stored once
}

//docs:end faults
