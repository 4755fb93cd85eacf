package aggregate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

type (
	Opened    struct{ Owner string }
	Deposited struct{ Amount int }
	Withdrawn struct{ Amount int }
)

func (Opened) EventType() string    { return "AccountOpened" }
func (Deposited) EventType() string { return "AccountDeposited" }
func (Withdrawn) EventType() string { return "AccountWithdrawn" }

type Account struct {
	Open    bool
	Balance int
}

// AccountCommand is a command of an account.
type AccountCommand interface {
	decide(a Account) ([]event.Payload, error)
}

type (
	Open     struct{ Owner string }
	Deposit  struct{ Amount int }
	Withdraw struct{ Amount int }
)

var errNoFunds = errors.New("not enough money")

func (c Open) decide(a Account) ([]event.Payload, error) {
	if a.Open {
		return nil, nil
	}
	return []event.Payload{Opened(c)}, nil
}

func (c Deposit) decide(Account) ([]event.Payload, error) {
	return []event.Payload{Deposited(c)}, nil
}

func (c Withdraw) decide(a Account) ([]event.Payload, error) {
	if a.Balance < c.Amount {
		return nil, errNoFunds
	}
	return []event.Payload{Withdrawn(c)}, nil
}

var accounts = aggregate.Decider[Account, AccountCommand]{
	Definition: aggregate.Define("Account",
		aggregate.Evolve(func(a Account, _ event.Of[Opened]) Account { a.Open = true; return a }),
		aggregate.Evolve(func(a Account, e event.Of[Deposited]) Account { a.Balance += e.Payload.Amount; return a }),
		aggregate.Evolve(func(a Account, e event.Of[Withdrawn]) Account { a.Balance -= e.Payload.Amount; return a }),
	),
	Decide: func(_ context.Context, a Account, c AccountCommand) ([]event.Payload, error) { return c.decide(a) },
}

func TestDecider(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	handler, err := aggregate.NewHandler(store, accounts, aggregate.Config{})
	require.NoError(t, err)
	id := event.NewID()
	_, _, err = handler.State(t.Context(), id)
	require.ErrorIs(t, err, aggregate.ErrNotFound)

	require.NoError(t, handler.Handle(t.Context(), id, Open{Owner: "alice"}))
	require.NoError(t, handler.Handle(t.Context(), id, Open{Owner: "alice"}), "decides on nothing")
	require.NoError(t, handler.Handle(t.Context(), id, Deposit{Amount: 10}))
	require.ErrorIs(t, handler.Handle(t.Context(), id, Withdraw{Amount: 11}), errNoFunds)
	require.NoError(t, handler.Handle(t.Context(), id, Withdraw{Amount: 3}))

	state, version, err := handler.State(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, Account{Open: true, Balance: 7}, state)
	assert.EqualValues(t, 3, version)
	require.NoError(t, handler.Close(t.Context()))
}

func TestDeciderDecidesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		plain, err := aggregate.NewHandler(store, accounts, aggregate.Config{})
		require.NoError(t, err)
		id := event.NewID()
		require.NoError(t, plain.Handle(t.Context(), id, Deposit{Amount: 5}))

		calls := 0
		racing := accounts
		racing.Decide = func(ctx context.Context, a Account, c AccountCommand) ([]event.Payload, error) {
			if calls++; calls == 1 {
				require.NoError(t, plain.Handle(ctx, id, Withdraw{Amount: 5}))
			}
			return c.decide(a)
		}
		handler, err := aggregate.NewHandler(store, racing, aggregate.Config{MinBackoff: time.Second, MaxBackoff: time.Second})
		require.NoError(t, err)
		require.ErrorIs(t, handler.Handle(t.Context(), id, Withdraw{Amount: 5}), errNoFunds, "the money is spent once")
		assert.Equal(t, 2, calls)
	})
}

func TestDeciderErrors(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	_, err := aggregate.NewHandler(store, aggregate.Decider[Account, AccountCommand]{Definition: accounts.Definition}, aggregate.Config{})
	require.ErrorIs(t, err, event.ErrDefinition)
	_, err = aggregate.NewHandler(store, aggregate.Decider[Account, AccountCommand]{Decide: accounts.Decide}, aggregate.Config{})
	require.ErrorIs(t, err, event.ErrDefinition)
	_, err = aggregate.NewHandler(store, accounts, aggregate.Config{MaxAttempts: -1})
	require.ErrorIs(t, err, event.ErrInvalid)

	handler, err := aggregate.NewHandler(store, accounts, aggregate.Config{})
	require.NoError(t, err)
	require.NoError(t, store.Close())
	require.ErrorIs(t, handler.Handle(t.Context(), event.NewID(), Deposit{Amount: 1}), eventstore.ErrClosed)
}

// Codecs may fail at any place; nothing of it leaves the library as a panic.
type panicCodec struct{}

func (panicCodec) Encode(any) ([]byte, error) { panic("encode") }
func (panicCodec) Decode([]byte, any) error   { panic("decode") }

// halfCodec encodes, but cannot decode states.
type halfCodec struct{ json event.JSON }

func (c halfCodec) Encode(payload any) ([]byte, error) { return c.json.Encode(payload) }
func (c halfCodec) Decode(data []byte, into any) error {
	if _, ok := into.(*Bag); ok {
		return errPoison
	}
	return c.json.Decode(data, into)
}

func TestCodecFailures(t *testing.T) {
	t.Parallel()
	on := aggregate.On(func(*Bag, event.Of[Filled]) {})
	bag := aggregate.New[BagRoot](aggregate.Define("Bag", on, aggregate.Codec[Bag](panicCodec{})), event.NewID())
	err := bag.Emit(t.Context(), Filled{})
	require.ErrorIs(t, err, event.ErrEncode)
	var caught *aggregate.PanicError
	require.ErrorAs(t, err, &caught)
	assert.Equal(t, "encode", caught.Value)

	for name, codec := range map[string]event.Codec{"half": halfCodec{}, "panics on states": statePanicCodec{}, "fails on states": stateFailCodec{}} {
		repo, err := aggregate.NewRepositoryWith[BagRoot](openStore(t), aggregate.Define("Bag", on, aggregate.Codec[Bag](codec)),
			aggregate.Config{Snapshots: newSnapshots(), SnapshotPolicy: aggregate.EveryEvents(1), CacheSize: 1})
		require.NoError(t, err)
		bag := repo.New(event.NewID())
		require.NoError(t, bag.Emit(t.Context(), Filled{}))
		require.NoError(t, repo.Save(t.Context(), bag), name)
		require.NoError(t, repo.Close(t.Context()))
		assert.Equal(t, aggregate.SnapshotStats{Unencodable: 1}, repo.SnapshotStats(), name)
		_, err = repo.Load(t.Context(), bag.ID())
		require.NoError(t, err, name)
	}
}

type statePanicCodec struct{ halfCodec }

func (c statePanicCodec) Encode(payload any) ([]byte, error) {
	if _, ok := payload.(*Bag); ok {
		panic("encode state")
	}
	return c.halfCodec.Encode(payload)
}

type stateFailCodec struct{ halfCodec }

func (c stateFailCodec) Encode(payload any) ([]byte, error) {
	if _, ok := payload.(*Bag); ok {
		return nil, errPoison
	}
	return c.halfCodec.Encode(payload)
}

// All shapes of states are copied as deep as they have to be.
func TestCacheCopiesPlainStates(t *testing.T) {
	t.Parallel()
	type place struct {
		At    time.Time
		Codes [2]string
	}
	type plainState struct {
		Place place
		Count float64
	}
	type plainRoot struct {
		aggregate.AggregateRoot[plainState]
	}
	definition := aggregate.Define("Plain", aggregate.On(func(s *plainState, e event.Of[Filled]) {
		s.Place.Codes[1], s.Place.At = e.Payload.Key, e.OccurredAt
	}))
	repo, err := aggregate.NewRepositoryWith[plainRoot](openStore(t), definition, aggregate.Config{CacheSize: 1})
	require.NoError(t, err)
	a := repo.New(event.NewID())
	require.NoError(t, a.Emit(t.Context(), Filled{Key: "x"}))
	require.NoError(t, repo.Save(t.Context(), a))
	again, err := repo.Load(t.Context(), a.ID())
	require.NoError(t, err)
	assert.Equal(t, a.State(), again.State())
}
