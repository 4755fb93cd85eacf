package event_test

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/event"
)

func ExampleNew() {
	ctx := event.WithActor(context.Background(), event.User("alice"))
	created, err := event.New(ctx, Created{Title: "Plan"})
	fmt.Println(created.Type, created.SchemaVersion, created.ActorID, string(created.Data), err)
	fmt.Println(created.CorrelationID == created.ID) // a new chain of actions
	// Output:
	// DocumentCreated 1 user:alice {"title":"Plan"} <nil>
	// true
}

func ExampleEvent_CausedBy() {
	ctx := context.Background()
	cause, err := event.New(ctx, Created{Title: "Plan"})
	if err != nil {
		fmt.Println(err)
	}
	effect, err := event.New(ctx, Edited{Content: "v1"})
	if err != nil {
		fmt.Println(err)
	}
	caused := effect.CausedBy(cause)
	fmt.Println(caused.CorrelationID == cause.CorrelationID, caused.CausationID == cause.ID)
	fmt.Println(effect.CausationID == cause.ID) // effect itself is as it was
	// Output:
	// true true
	// false
}

func ExampleWithMetadata() {
	ctx := event.WithMetadata(context.Background(), event.Metadata{"request": "r1", "channel": "web"})
	ctx = event.WithMetadata(ctx, event.Metadata{"channel": "mobile"})
	e, err := event.New(ctx, Created{})
	fmt.Println(e.Metadata["request"], e.Metadata["channel"], err)
	// Output: r1 mobile <nil>
}

func ExampleParseActorID() {
	actor, err := event.ParseActorID("user:550e8400")
	fmt.Println(actor.Kind(), actor.Name(), err)
	_, err = event.ParseActorID("alice")
	fmt.Println(err)
	fmt.Println(event.User("alice@example.com").Lint())
	// Output:
	// user 550e8400 <nil>
	// invalid actor_id "alice": must be "anonymous" or start with user:, service:, api:, system:, cron:, webhook: or import:
	// [actor id user:alice@example.com looks like an e-mail address: use an opaque id, events cannot be edited later]
}

// Edited has had two other forms; its Upcasts method lists the steps from the
// oldest to the current one.
func ExampleUpcaster() {
	hs, err := event.NewHandlers(nil, event.Handle(func(_ struct{}, e event.Of[Edited]) error {
		fmt.Println(e.Payload.Content, e.Payload.Words)
		return nil
	}))
	if err != nil {
		fmt.Println(err)
	}
	for _, e := range []event.Event{
		{Type: "DocumentEdited", SchemaVersion: 1, Data: []byte(`{"body":"first form"}`)},
		{Type: "DocumentChanged", SchemaVersion: 2, Data: []byte(`{"content":"older name"}`)},
		{Type: "DocumentEdited", SchemaVersion: 3, Data: []byte(`{"content":"now","words":1}`)},
	} {
		if _, err := hs.Handle(struct{}{}, e); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// first form 10
	// older name 10
	// now 1
}

func ExampleEncodeMetadata() {
	data, err := event.EncodeMetadata(event.Metadata{"retries": 3, "ratio": 2.0, "tags": []string{"a"}})
	fmt.Println(string(data), err)
	m, err := event.DecodeMetadata(data)
	fmt.Printf("%T %T %v\n", m["retries"], m["ratio"], err)
	// Output:
	// {"ratio":2.0,"retries":3,"tags":["a"]} <nil>
	// int64 float64 <nil>
}
