package snippets_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func Example_origin() {
	run(origin)
	// Output:
	// user:alice acme req-17 true true
}

func origin(ctx context.Context, b *bank) error {
	chain := uuid.New()
	//docs:begin origin
	ctx = event.WithActor(ctx, event.User("alice")) // who; set it from a verified identity
	ctx = event.WithTenant(ctx, "acme")             // for whom
	ctx = event.WithCorrelation(ctx, chain)         // in which chain of actions; without it, a new one starts
	ctx = event.WithMetadata(ctx, event.Metadata{   // what else is worth keeping
		"request_id": "req-17",
		"retries":    3,
	})
	err := b.repo.Update(ctx, aliceID, func(a *Account) error { return a.Open(ctx, "alice") })
	//docs:end origin
	if err != nil {
		return err
	}
	e, err := last(ctx, b)
	if err != nil {
		return err
	}
	fmt.Println(e.ActorID, e.TenantID, e.Metadata["request_id"], e.CorrelationID == chain, e.CausationID == uuid.Nil)
	return nil
}

// last returns the event that was stored last.
func last(ctx context.Context, b *bank) (event.Event, error) {
	for e, err := range b.store.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward, Limit: 1}) {
		return e, err
	}
	return event.Event{}, errors.New("the store is empty")
}

func Example_cause() {
	run(cause)
	// Output:
	// true true system:rewards
}

func cause(ctx context.Context, b *bank) error {
	deposited, err := last(ctx, b)
	if err != nil {
		return err
	}
	//docs:begin cause
	ctx = event.WithCause(ctx, deposited) // the same correlation and tenant; deposited.ID is the causation
	ctx = event.WithActor(ctx, event.System("rewards"))
	err = b.repo.Update(ctx, bobID, func(a *Account) error { return a.Deposit(ctx, 1) })
	//docs:end cause
	if err != nil {
		return err
	}
	e, err := last(ctx, b)
	if err != nil {
		return err
	}
	fmt.Println(e.CorrelationID == deposited.CorrelationID, e.CausationID == deposited.ID, e.ActorID)
	return nil
}

func Example_actors() {
	//docs:begin actors
	actor, err := event.ParseActorID("service:billing")
	fmt.Println(actor.Kind(), actor.Name(), err)

	_, err = event.ParseActorID("users:alice")
	fmt.Println(err)

	fmt.Println(event.User("alice@example.org").Lint())
	//docs:end actors
	// Output:
	// service billing <nil>
	// invalid actor_id "users:alice": must be "anonymous" or start with user:, service:, api:, system:, cron:, webhook: or import:
	// [actor id user:alice@example.org looks like an e-mail address: use an opaque id, events cannot be edited later]
}

// Example_invalidActor shows when a bad actor is noticed.
func Example_invalidActor() {
	run(func(ctx context.Context, b *bank) error {
		ctx = event.WithActor(ctx, "alice")
		a, err := b.repo.Load(ctx, aliceID)
		if err != nil {
			return err
		}
		fmt.Println("emit:", a.Deposit(ctx, 1))
		fmt.Println("save:", errors.Is(b.repo.Save(ctx, a), event.ErrInvalid))
		return nil
	})
	// Output:
	// emit: <nil>
	// save: true
}

func Example_metadata() {
	run(metadata)
	// Output:
	// int64 float64 string []interface {} map[string]interface {}
	// invalid metadata.when: has type time.Time; use bool, string, numbers, []any, []string or map[string]any
}

func metadata(ctx context.Context, b *bank) error {
	//docs:begin metadata
	with := event.WithMetadata(ctx, event.Metadata{
		"retries": 3, "ratio": 1.0, "channel": "web",
		"tags": []string{"a", "b"}, "geo": map[string]any{"lat": 47.5},
	})
	err := b.repo.Update(with, aliceID, func(a *Account) error { return a.Deposit(with, 1) })
	if err != nil {
		return err
	}
	e, err := last(ctx, b)
	if err != nil {
		return err
	}
	m := e.Metadata
	fmt.Printf("%T %T %T %T %T\n", m["retries"], m["ratio"], m["channel"], m["tags"], m["geo"])
	//docs:end metadata
	bad := event.WithMetadata(ctx, event.Metadata{"when": aTime})
	a, err := b.repo.Load(bad, aliceID)
	if err != nil {
		return err
	}
	if err := a.Deposit(bad, 1); err != nil {
		return err
	}
	if invalid, ok := errors.AsType[*event.InvalidError](b.repo.Save(bad, a)); ok {
		fmt.Println(invalid)
	}
	return nil
}

func Example_eventWithoutAggregate() {
	run(withoutAggregate)
	// Output:
	// Import 1 import:csv-7
}

func withoutAggregate(ctx context.Context, b *bank) error {
	store := b.store
	//docs:begin new
	ctx = event.WithActor(ctx, event.Import("csv-7"))
	e, err := event.New(ctx, Deposited{Cents: 500})
	if err != nil {
		return err
	}
	// The id of a natural key is the same each time.
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://example.org/imports/7"))
	result, err := store.Append(ctx, eventstore.Append{
		Stream:   eventstore.Stream{AggregateType: "Import", AggregateID: id},
		Expected: eventstore.NoStream(),
		Events:   []event.Event{e},
	})
	if err != nil {
		return err
	}
	//docs:end new
	stored, err := last(ctx, b)
	if err != nil {
		return err
	}
	fmt.Println(stored.AggregateType, result.Versions[0], stored.ActorID)
	return nil
}

func Example_read() {
	run(read)
	// Output:
	// 1 AccountOpened {"owner":"alice"}
	// 2 Deposited {"cents":100}
	// 3 AccountOpened {"owner":"bob"}
}

func read(ctx context.Context, b *bank) error {
	store := b.store
	//docs:begin read
	for e, err := range store.ReadAll(ctx, eventstore.Query{AggregateTypes: []string{"Account"}}) {
		if err != nil {
			return err // it comes once, and ends the sequence
		}
		fmt.Printf("%d %s %s\n", e.Position, e.Type, e.Data)
	}
	//docs:end read
	return nil
}
