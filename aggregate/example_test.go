package aggregate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

// An aggregate is a struct that embeds its root. Its methods decide; the
// definition says what each event changes.
func Example() {
	ctx := event.WithActor(context.Background(), event.User("alice"))
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	repo := aggregate.NewRepository[Document](store, documents)
	id := event.NewID()

	err = repo.Update(ctx, id, func(d *Document) error { return d.Create(ctx, "Plan") })
	fmt.Println("create:", err)
	err = repo.Update(ctx, id, func(d *Document) error { return d.Edit(ctx, "v2") })
	fmt.Println("edit:", err)

	d, err := repo.Load(ctx, id)
	fmt.Println(d.State().Title, d.State().Content, d.State().EditedBy, d.Version(), err)
	// Output:
	// create: <nil>
	// edit: <nil>
	// Plan v2 user:alice 2 <nil>
}

func ExampleDefine() {
	type Counter struct{ Total int }
	counters := aggregate.Define("Counter",
		aggregate.Initial(func(uuid.UUID) Counter { return Counter{Total: 100} }),
		aggregate.On(func(c *Counter, e event.Of[Deposited]) { c.Total += e.Payload.Amount }),
		aggregate.Evolve(func(c Counter, e event.Of[Withdrawn]) Counter {
			return Counter{Total: c.Total - e.Payload.Amount}
		}),
		aggregate.SnapshotVersion[Counter](2),
		aggregate.TolerateUnknown[Counter](),
	)
	fmt.Println(counters.Validate(), counters.EventTypes())

	twice := aggregate.On(func(*Counter, event.Of[Deposited]) {})
	fmt.Println(aggregate.Define("Counter", twice, twice).Validate())
	// Output:
	// <nil> [AccountDeposited AccountWithdrawn]
	// definition of "AccountDeposited": has two handlers
}

// A handler that fails rejects the command; nothing is pending afterwards.
func ExampleOnErr() {
	type Purse struct{ Coins int }
	type Wallet struct{ aggregate.AggregateRoot[Purse] }
	purses := aggregate.Define("Purse", aggregate.OnErr(func(p *Purse, e event.Of[Withdrawn]) error {
		if p.Coins -= e.Payload.Amount; p.Coins < 0 {
			return errors.New("no coins left")
		}
		return nil
	}))
	w := aggregate.New[Wallet](purses, uuid.MustParse("0190a9c7-0000-7000-8000-000000000001"))
	fmt.Println(w.Emit(context.Background(), Withdrawn{Amount: 1}))
	fmt.Println(w.Version(), w.State().Coins)
	// Output:
	// Purse/0190a9c7-0000-7000-8000-000000000001: event "AccountWithdrawn" at version 1 could not be applied: no coins left
	// 0 0
}

func ExampleRepository_LoadAt() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	repo := aggregate.NewRepository[Document](store, documents)
	d := repo.New(event.NewID())
	if err := d.Emit(ctx, Created{Title: "Plan"}, Edited{Content: "v1"}, Edited{Content: "v2"}); err != nil {
		fmt.Println(err)
	}
	if err := repo.Save(ctx, d); err != nil {
		fmt.Println(err)
	}
	past, err := repo.LoadAt(ctx, d.ID(), 2)
	fmt.Println(past.State().Content, err)
	_, err = repo.LoadAt(ctx, d.ID(), 7)
	fmt.Println(errors.Is(err, aggregate.ErrNotFound))
	// Output:
	// v1 <nil>
	// true
}

// Aggregates of several types are saved together or not at all.
func ExampleSaveAll() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	d := aggregate.New[Document](documents, event.NewID())
	c := aggregate.New[CartRoot](carts, event.NewID())
	if err := errors.Join(d.Create(ctx, "Plan"), c.Emit(ctx, Filled{Key: "plan", Value: 1})); err != nil {
		fmt.Println(err)
	}
	fmt.Println(aggregate.SaveAll(ctx, store, d, c))
	fmt.Println(d.SavedVersion(), c.SavedVersion())
	// Output:
	// <nil>
	// 1 1
}

// Pure functions instead of methods: Evolve and Decide.
func ExampleDecider() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler, err := aggregate.NewHandler(store, accounts, aggregate.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	id := event.NewID()
	for _, command := range []AccountCommand{Open{Owner: "alice"}, Deposit{Amount: 10}, Withdraw{Amount: 11}, Withdraw{Amount: 4}} {
		fmt.Println(handler.Handle(ctx, id, command))
	}
	state, version, err := handler.State(ctx, id)
	fmt.Println(state.Balance, version, err)
	// Output:
	// <nil>
	// <nil>
	// not enough money
	// <nil>
	// 6 3 <nil>
}

func ExampleNewRepositoryWith() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	repo, err := aggregate.NewRepositoryWith[Document](store, documents, aggregate.Config{
		CacheSize:      1000,
		Snapshots:      store.Snapshots(),
		SnapshotPolicy: aggregate.EveryEvents(2),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = repo.Update(ctx, event.NewID(), func(d *Document) error {
		return d.Emit(ctx, Created{Title: "Plan"}, Edited{Content: "v1"})
	})
	fmt.Println(err, repo.Close(ctx), repo.SnapshotStats().Written)

	_, err = aggregate.NewRepositoryWith[Document](store, documents, aggregate.Config{CacheSize: -1})
	fmt.Println(err)
	// Output:
	// <nil> <nil> 1
	// invalid cache_size: must not be negative; 0 means the default
}

// Whoever was slower decides again, on fresh state.
func ExampleRepository_Update() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	repo := aggregate.NewRepository[Document](store, documents)
	id := event.NewID()
	attempts := 0
	err = repo.Update(ctx, id, func(d *Document) error {
		if attempts++; attempts == 1 { // somebody else is faster
			rival := repo.New(id)
			if err := errors.Join(rival.Create(ctx, "Theirs"), repo.Save(ctx, rival)); err != nil {
				return err
			}
		}
		if d.Version() > 0 {
			return d.Edit(ctx, "mine, on top of "+d.State().Title)
		}
		return d.Create(ctx, "Mine")
	})
	d, loadErr := repo.Load(ctx, id)
	fmt.Println(err, loadErr, attempts, d.State().Content)
	fmt.Println(errors.Is(err, eventstore.ErrConflict))
	// Output:
	// <nil> <nil> 2 mine, on top of Theirs
	// false
}
