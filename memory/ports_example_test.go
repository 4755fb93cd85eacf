package memory_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/memory"
)

// What a transaction did is there for others when it commits, without what a
// failed savepoint undid.
func ExampleStore_Begin() {
	ctx, titles := context.Background(), checkpoint.Key{Projection: "titles", Version: 1}
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	show := func(when string) {
		at, err := store.Checkpoints().Load(ctx, titles)
		fmt.Println(when, at.Position, err)
	}

	tx, err := store.Begin(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tx.Checkpoints().Move(ctx, titles, checkpoint.Move{From: 0, To: 10}))
	fmt.Println(tx.Savepoint(ctx, func(ctx context.Context) error {
		return errors.Join(tx.Checkpoints().Move(ctx, titles, checkpoint.Move{From: 10, To: 20}), errors.New("the handler failed"))
	}))
	show("before:")
	fmt.Println(tx.Commit(ctx))
	show("after:")
	// Output:
	// <nil>
	// the handler failed
	// before: 0 <nil>
	// <nil>
	// after: 10 <nil>
}
