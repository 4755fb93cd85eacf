package projection_test

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// Example counts notes, and counts them again from the start.
func Example() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var texts []string
	notes := projection.New("notes", 1,
		projection.On(func(_ context.Context, e event.Of[noted]) error {
			texts = append(texts, e.Payload.Text)
			return nil
		}),
		projection.OnReset(func(context.Context) error { texts = nil; return nil }),
	)
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{notes}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{"milk", "bread"} {
		e, _ := event.New(ctx, noted{Text: text})
		stream := eventstore.Stream{AggregateType: "Note", AggregateID: uuid.New()}
		if _, err := store.Append(ctx, eventstore.Append{Stream: stream, Events: []event.Event{e}}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(runner.RunUntilCaughtUp(ctx), texts)
	fmt.Println(runner.Rebuild(ctx, "notes"), texts)
	// Output:
	// <nil> [milk bread]
	// <nil> [milk bread]
}
