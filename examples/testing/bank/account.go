package bank

import (
	"context"
	"errors"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// What an account refuses.
var (
	ErrNotOpen = errors.New("account is not open")
	ErrOpen    = errors.New("account is open already")
	ErrAmount  = errors.New("amount must be positive")
	ErrFunds   = errors.New("not enough on the account")
)

// Opened, Deposited and Withdrawn are what can happen to an account.
type Opened struct{}

type Deposited struct {
	Cents int `json:"cents"`
}

type Withdrawn struct {
	Cents int `json:"cents"`
}

func (Opened) EventType() string    { return "AccountOpened" }
func (Deposited) EventType() string { return "MoneyDeposited" }
func (Withdrawn) EventType() string { return "MoneyWithdrawn" }

// State is what an account is after its events.
type State struct {
	Open  bool
	Cents int
}

// Accounts returns how events change an account.
func Accounts() *aggregate.Definition[State] {
	return aggregate.Define("Account",
		aggregate.On(func(s *State, _ event.Of[Opened]) { s.Open = true }),
		aggregate.On(func(s *State, e event.Of[Deposited]) { s.Cents += e.Payload.Cents }),
		aggregate.On(func(s *State, e event.Of[Withdrawn]) { s.Cents -= e.Payload.Cents }),
	)
}

// Account decides: its methods look at the state and emit events, or refuse.
type Account struct{ aggregate.AggregateRoot[State] }

// Open opens the account.
func (a *Account) Open(ctx context.Context) error {
	if a.State().Open {
		return ErrOpen
	}
	return a.Emit(ctx, Opened{})
}

// Deposit puts money on the account.
func (a *Account) Deposit(ctx context.Context, cents int) error {
	if err := a.ready(cents); err != nil {
		return err
	}
	return a.Emit(ctx, Deposited{Cents: cents})
}

// Withdraw takes money from the account, which must be there.
func (a *Account) Withdraw(ctx context.Context, cents int) error {
	if err := a.ready(cents); err != nil {
		return err
	}
	if cents > a.State().Cents {
		return ErrFunds
	}
	return a.Emit(ctx, Withdrawn{Cents: cents})
}

func (a *Account) ready(cents int) error {
	switch {
	case !a.State().Open:
		return ErrNotOpen
	case cents <= 0:
		return ErrAmount
	default:
		return nil
	}
}
