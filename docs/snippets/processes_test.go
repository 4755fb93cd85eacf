package snippets_test

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// post is a mail service that sends what has the same key once.
type post struct{ sent map[uuid.UUID]string }

func (p *post) send(_ context.Context, key uuid.UUID, text string) error {
	p.sent[key] = text
	return nil
}

//docs:begin reactor
func newThanks(accounts *aggregate.Repository[Account], mails *post) *projection.Reactor {
	return projection.NewReactor("thanks", 1,
		projection.On(func(ctx context.Context, e event.Of[Withdrawn]) error {
			err := accounts.Update(ctx, bobID, func(a *Account) error { return a.Deposit(ctx, 1) }) // once for each event
			if err != nil {
				return err
			}
			key := event.ReactionFrom(ctx).Key() // the same in every try
			return mails.send(ctx, key, fmt.Sprintf("thank you for taking %d cents", e.Payload.Cents))
		}),
	)
}

//docs:end reactor

//docs:begin steps
func payBonuses(ctx context.Context, accounts *aggregate.Repository[Account], bonuses map[string]int64) error {
	for name, cents := range bonuses { // in any order
		step := event.WithStep(ctx, name)
		if err := accounts.Update(step, aliceID, func(a *Account) error { return a.Deposit(step, cents) }); err != nil {
			return err
		}
	}
	return nil
}

//docs:end steps

func Example_reactor() {
	run(react)
	// Output:
	// 3 mails sent, 6 tries
	// alice 82, bob 3 by system:thanks
	// projection "thanks" is live-only and cannot be rebuilt: its messages would be sent, and its commands given, a second time; for past events make a reactor of another name that starts at the first
}

func react(ctx context.Context, b *bank) error {
	for range 3 {
		if err := b.repo.Update(ctx, aliceID, func(a *Account) error { return a.Withdraw(ctx, 6) }); err != nil {
			return err
		}
	}
	mails, tries := &post{sent: make(map[uuid.UUID]string)}, 0
	thanks := newThanks(b.repo, mails)
	for e, err := range b.store.ReadAll(ctx, eventstore.Query{Types: []string{"Withdrawn"}}) {
		if err != nil {
			return err
		}
		for range 2 { // as after a crash
			tries++
			if err := thanks.Apply(ctx, nil, e); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%d mails sent, %d tries\n", len(mails.sent), tries)
	alice, err := b.repo.Load(ctx, aliceID)
	if err != nil {
		return err
	}
	bob, err := b.repo.Load(ctx, bobID)
	if err != nil {
		return err
	}
	fmt.Printf("alice %d, bob %d by %s\n", alice.State().Cents, bob.State().Cents, lastActor(ctx, b.store))
	fmt.Println(thanks.CanReset())
	return nil
}

func Example_steps() {
	run(func(ctx context.Context, b *bank) error {
		bonuses := map[string]int64{"loyalty": 1, "volume": 20, "birthday": 300}
		for range 5 { // tries of one reaction
			try := event.WithReaction(ctx, "bonuses", event.Event{ID: bobID})
			if err := payBonuses(try, b.repo, bonuses); err != nil {
				return err
			}
		}
		a, err := b.repo.Load(ctx, aliceID)
		if err != nil {
			return err
		}
		fmt.Println(a.State().Cents)
		return nil
	})
	// Output: 421
}

// lastActor returns who did what happened last.
func lastActor(ctx context.Context, store *memory.Store) event.ActorID {
	for e, err := range store.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward, Limit: 1}) {
		if err == nil {
			return e.ActorID
		}
	}
	return ""
}
