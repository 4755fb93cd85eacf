package checkpoint_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/memory"
)

// Two processes believe that they run the same projection. One of them moves
// the checkpoint first; the other one learns that it must stop.
func ExampleStore() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	checkpoints, titles := store.Checkpoints(), checkpoint.Key{Projection: "titles", Version: 1}

	fmt.Println(checkpoints.Move(ctx, titles, checkpoint.Move{From: 0, To: 100, StoreID: store.ID()}))
	err = checkpoints.Move(ctx, titles, checkpoint.Move{From: 0, To: 40, StoreID: store.ID()})
	fmt.Println(errors.Is(err, checkpoint.ErrMoved), err)
	// Output:
	// <nil>
	// true checkpoint of titles v1 stands at 100, not at 0
}

// Check is how a store decides on a move, with the checkpoint in its hand.
func ExampleCheck() {
	titles := checkpoint.Key{Projection: "titles", Version: 2, Lane: 1}
	actual := checkpoint.Checkpoint{Key: titles, Position: 100, Fence: 8}

	fmt.Println(checkpoint.Check(actual, titles, checkpoint.Move{From: 100, To: 120, Fence: 8}))
	fmt.Println(checkpoint.Check(actual, titles, checkpoint.Move{From: 100, To: 120, Fence: 7}))
	// Output:
	// <nil>
	// checkpoint of titles v2 lane 1 was taken over: fence 7 is now 8
}
