package eventstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

type renamed struct {
	Title string `json:"title"`
}

func (renamed) EventType() string { return "DocumentRenamed" }

// Events are appended to a stream under an expectation, and read in the order
// in which they were stored.
func Example() {
	ctx := event.WithActor(context.Background(), event.User("ada"))
	var store eventstore.Store
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	document := eventstore.Stream{AggregateType: "Document", AggregateID: uuid.UUID{15: 1}}
	draft, err := event.New(ctx, renamed{Title: "Draft"})
	if err != nil {
		fmt.Println(err)
		return
	}
	toDraft := eventstore.Append{Stream: document, Expected: eventstore.NoStream(), Events: []event.Event{draft}}
	result, err := store.Append(ctx, toDraft)
	fmt.Println("stored at position", result.Position, err)

	final, err := event.New(ctx, renamed{Title: "Final"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = store.Append(ctx, eventstore.Append{Stream: document, Expected: eventstore.NoStream(), Events: []event.Event{final}})
	fmt.Println(err)
	fmt.Println("a conflict:", errors.Is(err, eventstore.ErrConflict))

	for e, err := range store.ReadAll(ctx, eventstore.Query{ActorID: event.User("ada")}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Position, e.Type, e.AggregateVersion, e.ActorID, string(e.Data))
	}
	// Output:
	// stored at position 1 <nil>
	// stream Document/00000000-0000-0000-0000-000000000001 is at version 1, expected: no stream; load it and decide again
	// a conflict: true
	// 1 DocumentRenamed 1 user:ada {"title":"Draft"}
}

// Whoever gets a store that is bound to a tenant cannot reach another's events.
func ExampleBindTenant() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	acme := eventstore.BindTenant(store, "acme")
	for _, err := range acme.ReadAll(ctx, eventstore.Query{TenantID: "umbrella"}) {
		fmt.Println(err)
	}
	// Output:
	// tenant "umbrella" asked for at a store that is bound to tenant "acme"
}
