package bank_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/examples/testing/bank"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection/projectiontest"
)

func openStore(t *testing.T) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, store.Close()) })
	return store
}

//docs:begin drive
func TestBalances(t *testing.T) {
	t.Parallel()
	balances := bank.NewBalances()
	driver := projectiontest.New(t, openStore(t), balances.Projection())
	alice, bob := uuid.New(), uuid.New()

	driver.Append(t.Context(), "Account", alice, bank.Opened{}, bank.Deposited{Cents: 500})
	driver.Append(t.Context(), "Account", bob, bank.Opened{}, bank.Deposited{Cents: 70})
	driver.CatchUp(t.Context())
	assert.Equal(t, map[uuid.UUID]int{alice: 500, bob: 70}, balances.All())

	driver.Append(t.Context(), "Account", alice, bank.Withdrawn{Cents: 200})
	driver.CatchUp(t.Context())
	want := map[uuid.UUID]int{alice: 300, bob: 70}
	assert.Equal(t, want, balances.All())

	driver.Replay(t.Context(), "balances")
	assert.Equal(t, want, balances.All(), "a replay must give what was there")
}

//docs:end drive

// An event that cannot be applied holds up its own account and no other.
func TestBalancesParkWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	balances := bank.NewBalances()
	driver := projectiontest.New(t, openStore(t), balances.Projection())
	alice, bob := uuid.New(), uuid.New()

	driver.Append(t.Context(), "Account", alice, bank.Withdrawn{Cents: 1}, bank.Deposited{Cents: 500})
	driver.Append(t.Context(), "Account", bob, bank.Deposited{Cents: 70})
	status := driver.CatchUpParking(t.Context())

	assert.Equal(t, map[uuid.UUID]int{bob: 70}, balances.All())
	assert.Equal(t, 2, status[0].DeadLetters.Letters)
	parked, err := driver.Runner().DeadLetters().Sequences(t.Context(), dlq.Filter{Projection: "balances"})
	require.NoError(t, err)
	require.Len(t, parked, 1)
	assert.Equal(t, "Account/"+alice.String(), parked[0].Sequence.Key)
	assert.Contains(t, parked[0].First.Cause, "would be at -1")
}
