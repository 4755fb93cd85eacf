package bank_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/eventstore/eventstoretest"
	"github.com/evident-go/evident/examples/testing/bank"
)

// A decorator must keep every promise of the store that it wraps.
//
//docs:begin suite
func TestCountedConformance(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstore.Store {
		t.Helper()
		return bank.NewCounted(openStore(t))
	})
}

//docs:end suite

func TestCounted(t *testing.T) {
	t.Parallel()
	store := bank.NewCounted(openStore(t))
	accounts := aggregate.NewRepository[bank.Account](store, bank.Accounts())

	account := accounts.New(uuid.New())
	require.NoError(t, account.Open(t.Context()))
	require.NoError(t, account.Deposit(t.Context(), 500))
	assert.Zero(t, store.Events(), "nothing is saved yet")

	require.NoError(t, accounts.Save(t.Context(), account))
	assert.Equal(t, int64(2), store.Events())
}
