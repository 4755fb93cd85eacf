// Package snippets_test is where the code blocks of the documentation come
// from, as far as no example program has them. Each page has a file; what a
// page shows is compiled, run, and its output compared.
package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

// Opened, Deposited and Withdrawn are what can happen to an account.
type Opened struct {
	Owner string `json:"owner"`
}

//docs:begin event
type Deposited struct {
	Cents int64 `json:"cents"`
}

// EventType names the event in storage. It must never change.
func (Deposited) EventType() string { return "Deposited" }

//docs:end event

type Withdrawn struct {
	Cents int64 `json:"cents"`
}

func (Opened) EventType() string    { return "AccountOpened" }
func (Withdrawn) EventType() string { return "Withdrawn" }

//docs:begin definition

// Balance is the state.
type Balance struct {
	Owner string
	Cents int64
}

var accounts = aggregate.Define("Account",
	aggregate.On(func(b *Balance, e event.Of[Opened]) { b.Owner = e.Payload.Owner }),
	aggregate.On(func(b *Balance, e event.Of[Deposited]) { b.Cents += e.Payload.Cents }),
	aggregate.On(func(b *Balance, e event.Of[Withdrawn]) { b.Cents -= e.Payload.Cents }),
)

//docs:end definition

//docs:begin decisions

// Account decides.
type Account struct {
	aggregate.AggregateRoot[Balance]
}

func (a *Account) Withdraw(ctx context.Context, cents int64) error {
	if a.State().Cents < cents {
		return ErrNoFunds
	}
	return a.Emit(ctx, Withdrawn{Cents: cents})
}

//docs:end decisions

func (a *Account) Open(ctx context.Context, owner string) error {
	return a.Emit(ctx, Opened{Owner: owner})
}

func (a *Account) Deposit(ctx context.Context, cents int64) error {
	return a.Emit(ctx, Deposited{Cents: cents})
}

var ErrNoFunds = errors.New("not enough money in the account")

// aliceID and bobID are ids that outputs may name.
var (
	aliceID = uuid.MustParse("01900000-0000-7000-8000-00000000000a")
	bobID   = uuid.MustParse("01900000-0000-7000-8000-00000000000b")
)

// bank is what most examples start from: alice has 100 cents, bob has none.
type bank struct {
	store *memory.Store
	repo  *aggregate.Repository[Account]
}

func openBank(ctx context.Context) (*bank, error) {
	//docs:begin repository
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		return nil, err
	}
	repo := aggregate.NewRepository[Account](store, accounts)
	//docs:end repository
	b := &bank{store: store, repo: repo}
	ctx = event.WithActor(ctx, event.User("teller"))
	err = b.repo.Update(ctx, aliceID, func(a *Account) error {
		return errors.Join(a.Open(ctx, "alice"), a.Deposit(ctx, 100))
	})
	if err != nil {
		return nil, err
	}
	return b, b.repo.Update(ctx, bobID, func(a *Account) error { return a.Open(ctx, "bob") })
}

// run runs an example at the bank and prints what went wrong, if anything did.
func run(example func(ctx context.Context, b *bank) error) {
	ctx := context.Background()
	b, err := openBank(ctx)
	if err == nil {
		err = errors.Join(example(ctx, b), b.store.Close())
	}
	if err != nil {
		fmt.Println("error:", err)
	}
}

// aTime is a time that outputs may name.
var aTime = time.Date(2026, time.May, 1, 12, 0, 0, 0, time.UTC)
