package bank_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/examples/testing/bank"
)

// rich returns an account with 500 cents on a store that can be told to fail.
func rich(t *testing.T) (store *eventstoretest.Faults, accounts *aggregate.Repository[bank.Account], id uuid.UUID) {
	t.Helper()
	store = eventstoretest.NewFaults(openStore(t))
	accounts = aggregate.NewRepository[bank.Account](store, bank.Accounts())
	account := accounts.New(uuid.New())
	require.NoError(t, account.Open(t.Context()))
	require.NoError(t, account.Deposit(t.Context(), 500))
	require.NoError(t, accounts.Save(t.Context(), account))
	return store, accounts, account.ID()
}

func cents(t *testing.T, accounts *aggregate.Repository[bank.Account], id uuid.UUID) int {
	t.Helper()
	account, err := accounts.Load(t.Context(), id)
	require.NoError(t, err)
	return account.State().Cents
}

// The store has taken the money and the answer is lost. Update sends the same
// events again, and the money is gone once.
//
//docs:begin lost
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	store, accounts, id := rich(t)
	store.FailAppend(eventstoretest.After, eventstore.ErrOutcomeUnknown)

	err := accounts.Update(t.Context(), id, func(a *bank.Account) error { return a.Withdraw(t.Context(), 200) })
	require.NoError(t, err)
	assert.Equal(t, 300, cents(t, accounts, id))
}

//docs:end lost

// The store is down: nothing has happened, the account keeps what it decided,
// and saving it again succeeds.
func TestStoreIsDown(t *testing.T) {
	t.Parallel()
	store, accounts, id := rich(t)
	down := errors.New("no route to the store")
	store.FailAppend(eventstoretest.Before, down)

	account, err := accounts.Load(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, account.Withdraw(t.Context(), 200))
	require.ErrorIs(t, accounts.Save(t.Context(), account), down)
	assert.Equal(t, 500, cents(t, accounts, id))

	require.NoError(t, accounts.Save(t.Context(), account))
	assert.Equal(t, 300, cents(t, accounts, id))
}

// Two people withdraw at once: whoever is later decides again, on what is left.
func TestTwoWithdrawals(t *testing.T) {
	t.Parallel()
	_, accounts, id := rich(t)
	raced := false
	err := accounts.Update(t.Context(), id, func(a *bank.Account) error {
		if !raced {
			raced = true
			require.NoError(t, accounts.Update(t.Context(), id, func(a *bank.Account) error { return a.Withdraw(t.Context(), 400) }))
		}
		return a.Withdraw(t.Context(), 200)
	})
	require.ErrorIs(t, err, bank.ErrFunds)
	assert.Equal(t, 100, cents(t, accounts, id))
}
