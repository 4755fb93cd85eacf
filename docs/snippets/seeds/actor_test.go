package seeds_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// An event's own fields say who acted, in which chain, because of what, and
// what else is worth keeping.
func Example_eventFields() {
	cause := uuid.New()
	ctx := by(context.Background(), "7f3a")
	ctx = event.WithCausation(event.WithCorrelation(ctx, chainID), cause)
	ctx = event.WithMetadata(ctx, event.Metadata{"channel": "web"})
	e, err := event.New(ctx, OrderCreated{})
	fmt.Println(e.ActorID, e.CorrelationID == chainID, e.CausationID == cause, e.Metadata["channel"], err)

	bare, err := event.New(context.Background(), OrderCreated{})
	fmt.Println(bare.ActorID == "", bare.CorrelationID == bare.ID, bare.CausationID == uuid.Nil, bare.Metadata == nil, err)
	// Output:
	// user:7f3a true true web <nil>
	// true true true true <nil>
}

// There is a function for each kind of actor, and no other kind.
func Example_actorFormats() {
	for _, actor := range []event.ActorID{
		event.User(uuid.MustParse("7f3a0000-0000-4000-8000-000000000001").String()),
		event.User("carl"),
		event.Service("invoicing"),
		event.API("key_7f3"),
		event.System("nightly-cleanup"),
		event.Cron("close-carts"),
		event.Webhook("bank"),
		event.Import("orders-2019"),
		event.Anonymous, // somebody who did not say who they are
		"",              // nobody was named
	} {
		fmt.Printf("%q %v\n", actor, actor.Validate())
	}
	_, err := event.ParseActorID("robot:7")
	fmt.Println(errors.Is(err, event.ErrInvalid))
	// Output:
	// "user:7f3a0000-0000-4000-8000-000000000001" <nil>
	// "user:carl" <nil>
	// "service:invoicing" <nil>
	// "api:key_7f3" <nil>
	// "system:nightly-cleanup" <nil>
	// "cron:close-carts" <nil>
	// "webhook:bank" <nil>
	// "import:orders-2019" <nil>
	// "anonymous" <nil>
	// "" <nil>
	// true
}

// Whoever stands in the context is the event's actor.
func Example_actorOfAnEvent() {
	run(func(ctx context.Context, s *shop) error {
		ctx = event.WithActor(ctx, event.User("7f3a"))
		err := s.orders.Update(ctx, orderID, func(o *Order) error { return o.Create(ctx, "user:7f3a", 9900) })
		if err != nil {
			return err
		}
		e, err := s.last(ctx)
		fmt.Println(e.Type, "by", e.ActorID)
		return err
	})
	// Output: OrderCreated by user:7f3a
}

var (
	jane  = auth.Principal{ActorID: event.User("7f3a"), Permissions: []auth.Permission{"order:create", "order:ship"}}
	guest = auth.Principal{ActorID: event.User("55aa")} // may do nothing
)

// The first way to hand the actor over: as an argument.
func Example_actorAsArgument() {
	run(func(ctx context.Context, s *shop) error {
		place := func(ctx context.Context, p auth.Principal, id uuid.UUID) error {
			if err := auth.Check(ctx, p, "order:create"); err != nil {
				return err
			}
			ctx = auth.With(ctx, p)
			return s.orders.Update(ctx, id, func(o *Order) error { return o.Create(ctx, p.ActorID, 9900) })
		}
		fmt.Println(errors.Is(place(ctx, guest, orderID), auth.ErrDenied))
		fmt.Println(place(ctx, jane, orderID))
		fmt.Println(place(ctx, jane, orderID))
		e, err := s.last(ctx)
		fmt.Println(e.ActorID)
		return err
	})
	// Output:
	// true
	// <nil>
	// order was created already
	// user:7f3a
}

// The second way: in the context. What lies between knows nothing of actors.
func Example_actorInContext() {
	run(func(ctx context.Context, s *shop) error {
		place := func(ctx context.Context, id uuid.UUID) error {
			if err := auth.Require(ctx, "order:create"); err != nil {
				return err
			}
			return s.create(ctx, id)
		}
		fmt.Println(errors.Is(place(ctx, orderID), auth.ErrUnauthenticated))
		if err := place(auth.With(ctx, jane), orderID); err != nil { // where a request is let in
			return err
		}
		fmt.Println(event.ActorFrom(ctx) == "") // the context around has not changed: nothing to clean up
		e, err := s.last(ctx)
		fmt.Println(e.ActorID)
		return err
	})
	// Output:
	// true
	// true
	// user:7f3a
}

// The third way: in a command, which nobody can forge by writing JSON.
func Example_commandObject() {
	type createOrder struct{ ID uuid.UUID }
	type shipOrder struct {
		ID     uuid.UUID
		Parcel string
	}
	run(func(ctx context.Context, s *shop) error {
		create := auth.Guarded("order:create", func(ctx context.Context, c auth.Command[createOrder]) (uuid.UUID, error) {
			return c.Payload.ID, s.create(ctx, c.Payload.ID)
		})
		ship := auth.Guarded("order:ship", func(ctx context.Context, c auth.Command[shipOrder]) (struct{}, error) {
			return struct{}{}, s.orders.Update(ctx, c.Payload.ID, func(o *Order) error { return o.Ship(ctx, c.Payload.Parcel) })
		})

		id, err := create(ctx, auth.NewCommand(jane, createOrder{ID: orderID}))
		fmt.Println(id == orderID, err)
		_, err = ship(ctx, auth.NewCommand(jane, shipOrder{ID: orderID, Parcel: "PKG-1"}))
		fmt.Println(err)

		var sent auth.Command[shipOrder]
		if err := json.Unmarshal([]byte(`{"principal": {"ActorID": "user:7f3a"}, "Payload": {"Parcel": "PKG-2"}}`), &sent); err != nil {
			return err
		}
		_, err = ship(ctx, sent)
		fmt.Println(errors.Is(err, auth.ErrUnauthenticated))
		return nil
	})
	// Output:
	// true <nil>
	// <nil>
	// true
}

// Events that nobody was named for can be found, so a program that forgets its
// actor is found out.
func Example_eventsWithoutActor() {
	run(func(ctx context.Context, s *shop) error {
		if err := errors.Join(s.create(by(ctx, "7f3a"), orderID), s.ship(ctx, orderID)); err != nil {
			return err
		}
		for record, err := range s.log.ByActor(ctx, event.Anonymous, audit.Page{}) {
			if err != nil {
				return err
			}
			fmt.Println(record)
		}
		return nil
	})
	// Output: #2 anonymous triggered OrderShipped on Order
}
