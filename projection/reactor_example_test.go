package projection_test

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// A reactor gives a command for each note. However often its handler runs, the
// bill is written once.
func ExampleNewReactor() {
	ctx := event.WithActor(context.Background(), event.User("alice"))
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	repo := aggregate.NewRepository[billRoot](store, bills)
	reactor := projection.NewReactor("biller", 1,
		projection.On(func(ctx context.Context, e event.Of[noted]) error {
			return repo.Update(ctx, billOf(e.AggregateID), func(b *billRoot) error { return b.Emit(ctx, billed{}) })
		}),
		projection.StartAt(projection.StartAtFirst), // without it: what happens from now on
	)
	notes := aggregate.NewRepository[noteRoot](store, noteDefinition)
	id := event.NewID()
	if err := notes.Update(ctx, id, func(n *noteRoot) error { return n.Emit(ctx, noted{Text: "milk"}) }); err != nil {
		fmt.Println(err)
	}

	for range 2 { // the second time as if nobody knew of the first
		progress, err := memory.Open(ctx, memory.Config{})
		if err != nil {
			fmt.Println(err)
			return
		}
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{reactor}, Progress: progress})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(runner.RunUntilCaughtUp(ctx))
	}
	b, err := repo.Load(ctx, billOf(id))
	fmt.Println(b.State().Billed, err)
	fmt.Println(reactor.CanReset())
	// Output:
	// <nil>
	// <nil>
	// 1 <nil>
	// projection "biller" is live-only and cannot be rebuilt: its messages would be sent, and its commands given, a second time; for past events make a reactor of another name that starts at the first
}

type noteRoot struct {
	aggregate.AggregateRoot[struct{}]
}

var noteDefinition = aggregate.Define("Note", aggregate.On(func(*struct{}, event.Of[noted]) {}))
