package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func Example_update() {
	run(update)
	// Output:
	// 70 cents at version 3
	// refused: true
}

func update(ctx context.Context, b *bank) error {
	repo, id := b.repo, aliceID
	//docs:begin update
	err := repo.Update(ctx, id, func(a *Account) error { // load, decide, append; again on conflict
		return a.Withdraw(ctx, 30)
	})
	//docs:end update
	if err != nil {
		return err
	}
	a, err := repo.Load(ctx, id)
	if err != nil {
		return err
	}
	fmt.Println(a.State().Cents, "cents at version", a.Version())
	err = repo.Update(ctx, id, func(a *Account) error { return a.Withdraw(ctx, 500) })
	fmt.Println("refused:", errors.Is(err, ErrNoFunds))
	return nil
}

func Example_loadAndSave() {
	run(loadAndSave)
	// Output:
	// stream Account/01900000-0000-7000-8000-00000000000a is at version 3, expected: version 2; load it and decide again
}

func loadAndSave(ctx context.Context, b *bank) error {
	repo, id := b.repo, aliceID
	first, err := repo.Load(ctx, id)
	if err != nil {
		return err
	}
	second, err := repo.Load(ctx, id)
	if err != nil {
		return err
	}
	if err := errors.Join(first.Withdraw(ctx, 80), second.Withdraw(ctx, 80)); err != nil {
		return err
	}
	if err := repo.Save(ctx, first); err != nil {
		return err
	}
	//docs:begin conflict
	err = repo.Save(ctx, second) // somebody saved after second was loaded
	if conflict, ok := errors.AsType[*eventstore.ConflictError](err); ok {
		fmt.Println(conflict)
	}
	//docs:end conflict
	return nil
}

func Example_saveAll() {
	run(saveAll)
	// Output:
	// 60 and 40
}

func saveAll(ctx context.Context, b *bank) error {
	repo, store := b.repo, b.store
	from, err := repo.Load(ctx, aliceID)
	if err != nil {
		return err
	}
	to, err := repo.Load(ctx, bobID)
	if err != nil {
		return err
	}
	//docs:begin save-all
	if err := errors.Join(from.Withdraw(ctx, 40), to.Deposit(ctx, 40)); err != nil {
		return err
	}
	if err := aggregate.SaveAll(ctx, store, from, to); err != nil { // both or neither
		return err
	}
	//docs:end save-all
	fmt.Println(from.State().Cents, "and", to.State().Cents)
	return nil
}

func Example_loadAt() {
	run(loadAt)
	// Output:
	// 0 cents at version 1
	// true
}

func loadAt(ctx context.Context, b *bank) error {
	repo, id := b.repo, aliceID
	a, err := repo.LoadAt(ctx, id, 1)
	if err != nil {
		return err
	}
	fmt.Println(a.State().Cents, "cents at version", a.Version())

	_, err = repo.LoadAt(ctx, id, 9)
	fmt.Println(errors.Is(err, aggregate.ErrNotFound))
	return nil
}

func Example_snapshots() {
	run(snapshots)
	// Output:
	// 1 written
}

func snapshots(ctx context.Context, b *bank) error {
	store, id := b.store, aliceID
	//docs:begin snapshots
	repo, err := aggregate.NewRepositoryWith[Account](store, accounts, aggregate.Config{
		Snapshots:      store.Snapshots(),
		SnapshotPolicy: aggregate.EveryEvents(3), // the default is 100
		CacheSize:      10_000,                   // states that are kept in memory; the default is none
	})
	//docs:end snapshots
	if err != nil {
		return err
	}
	if err := repo.Update(ctx, id, func(a *Account) error { return a.Deposit(ctx, 1) }); err != nil {
		return err
	}
	if err := repo.Close(ctx); err != nil { // waits until the snapshots are written
		return err
	}
	fmt.Println(repo.SnapshotStats().Written, "written")
	return nil
}

//docs:begin clone

// Cart holds a map, so it says how it is copied.
type Cart struct{ Pieces map[string]int }

func (c Cart) Clone() Cart { return Cart{Pieces: maps.Clone(c.Pieces)} }

//docs:end clone

type Added struct {
	Article string `json:"article"`
	Pieces  int    `json:"pieces"`
}

func (Added) EventType() string { return "ArticleAdded" }

var errTooMany = errors.New("more than ten pieces of one article")

//docs:begin parts

var carts = aggregate.Define("Cart",
	aggregate.Initial(func(uuid.UUID) Cart { return Cart{Pieces: map[string]int{}} }),
	aggregate.OnErr(func(c *Cart, e event.Of[Added]) error {
		c.Pieces[e.Payload.Article] += e.Payload.Pieces
		if c.Pieces[e.Payload.Article] > 10 {
			return errTooMany // Emit fails, and the cart is as before
		}
		return nil
	}),
	aggregate.SnapshotVersion[Cart](2), // raised when Cart or a handler changed its meaning
)

//docs:end parts

type cart struct{ aggregate.AggregateRoot[Cart] }

func Example_rejectedEvent() {
	c := aggregate.New[cart](carts, aliceID)
	ctx := context.Background()
	fmt.Println(c.Emit(ctx, Added{Article: "pen", Pieces: 4}))
	err := c.Emit(ctx, Added{Article: "ink", Pieces: 1}, Added{Article: "pen", Pieces: 7})
	fmt.Println(errors.Is(err, aggregate.ErrApply), errors.Is(err, errTooMany))
	fmt.Println(c.State().Pieces, "at version", c.Version())
	// Output:
	// <nil>
	// true true
	// map[pen:4] at version 1
}

//docs:begin evolve

var lamps = aggregate.Define("Lamp",
	aggregate.Evolve(func(on bool, _ event.Of[Switched]) bool { return !on }),
)

// A command is any type; here it is what the lamp should be.
var lampDecider = aggregate.Decider[bool, bool]{
	Definition: lamps,
	Decide: func(_ context.Context, on, want bool) ([]event.Payload, error) {
		if on == want {
			return nil, nil // nothing to do
		}
		return []event.Payload{Switched{}}, nil
	},
}

//docs:end evolve

type Switched struct{}

func (Switched) EventType() string { return "LampSwitched" }

func Example_decider() {
	run(decider)
	// Output:
	// true at version 1
}

func decider(ctx context.Context, b *bank) error {
	store, id := b.store, bobID
	handler, err := aggregate.NewHandler(store, lampDecider, aggregate.Config{})
	if err != nil {
		return err
	}
	if err := handler.Handle(ctx, id, true); err != nil { // as Repository.Update does
		return err
	}
	on, version, err := handler.State(ctx, id)
	if err != nil {
		return err
	}
	fmt.Println(on, "at version", version)
	return nil
}

// Example_definitions checks what a program would check in a test.
func Example_definitions() {
	fmt.Println(accounts.Validate(), carts.Validate(), lamps.Validate())
	fmt.Println(accounts.EventTypes())
	// Output:
	// <nil> <nil> <nil>
	// [AccountOpened Deposited Withdrawn]
}

// Example_updateGivesUp shows what stays when nobody lets go of a stream.
func Example_updateGivesUp() {
	run(func(ctx context.Context, b *bank) error {
		repo, err := aggregate.NewRepositoryWith[Account](b.store, accounts, aggregate.Config{
			MaxAttempts: 3, MinBackoff: time.Microsecond, MaxBackoff: time.Microsecond,
		})
		if err != nil {
			return err
		}
		calls := 0
		err = repo.Update(ctx, aliceID, func(a *Account) error {
			calls++
			inBetween := b.repo.Update(ctx, aliceID, func(a *Account) error { return a.Deposit(ctx, 1) })
			return errors.Join(inBetween, a.Withdraw(ctx, 1))
		})
		fmt.Println(calls, errors.Is(err, aggregate.ErrContention), errors.Is(err, eventstore.ErrConflict))
		return nil
	})
	// Output:
	// 3 true true
}
