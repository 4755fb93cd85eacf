// Package seeds_test is where docs/seeds.md points: each code block of two pages
// on audit trails, said again with evident, compiled, run and compared. Its last
// test checks the page itself.
package seeds_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// What can happen to an order.
type (
	OrderCreated struct {
		Customer event.ActorID `json:"customer"`
		Cents    int64         `json:"cents"`
	}
	OrderShipped struct {
		Parcel string `json:"parcel"`
	}
)

func (OrderCreated) EventType() string { return "OrderCreated" }
func (OrderShipped) EventType() string { return "OrderShipped" }

// OrderState is an order after its events.
type OrderState struct {
	Customer event.ActorID
	Cents    int64
	Parcel   string
}

var orders = aggregate.Define("Order",
	aggregate.On(func(s *OrderState, e event.Of[OrderCreated]) {
		s.Customer, s.Cents = e.Payload.Customer, e.Payload.Cents
	}),
	aggregate.On(func(s *OrderState, e event.Of[OrderShipped]) { s.Parcel = e.Payload.Parcel }),
)

// Order decides. It never asks who acts: the context knows.
type Order struct {
	aggregate.AggregateRoot[OrderState]
}

func (o *Order) Create(ctx context.Context, customer event.ActorID, cents int64) error {
	if o.Version() > 0 {
		return ErrCreated
	}
	return o.Emit(ctx, OrderCreated{Customer: customer, Cents: cents})
}

func (o *Order) Ship(ctx context.Context, parcel string) error {
	if o.Version() == 0 {
		return ErrNotCreated
	}
	return o.Emit(ctx, OrderShipped{Parcel: parcel})
}

// What an order refuses.
var (
	ErrCreated    = errors.New("order was created already")
	ErrNotCreated = errors.New("order must be created first")
)

// Ids that outputs may name.
var (
	orderID = uuid.MustParse("01900000-0000-7000-8000-00000000000a")
	otherID = uuid.MustParse("01900000-0000-7000-8000-00000000000b")
	chainID = uuid.MustParse("01900000-0000-7000-8000-0000000000cc")
)

// morning is when examples begin.
var morning = time.Date(2026, time.May, 4, 9, 15, 0, 0, time.UTC)

// clock is a time that an example sets.
type clock struct{ at time.Time }

func (c *clock) Now() time.Time { return c.at }

func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

// shop is what examples start from: no order, and a log that is read as it is
// derived from the events.
type shop struct {
	clock  *clock
	store  *memory.Store
	orders *aggregate.Repository[Order]
	log    *audit.Log
}

func openShop(ctx context.Context) (*shop, error) {
	now := &clock{at: morning}
	store, err := memory.Open(ctx, memory.Config{Now: now.Now})
	if err != nil {
		return nil, err
	}
	repo, err := aggregate.NewRepositoryWith[Order](store, orders, aggregate.Config{Now: now.Now})
	if err != nil {
		return nil, err
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{Now: now.Now})
	return &shop{clock: now, store: store, orders: repo, log: log}, err
}

// create stores an order of whoever acts in ctx.
func (s *shop) create(ctx context.Context, id uuid.UUID) error {
	return s.orders.Update(ctx, id, func(o *Order) error { return o.Create(ctx, event.ActorFrom(ctx), 9900) })
}

func (s *shop) ship(ctx context.Context, id uuid.UUID) error {
	return s.orders.Update(ctx, id, func(o *Order) error { return o.Ship(ctx, "PKG-1") })
}

// last returns the event that was stored last.
func (s *shop) last(ctx context.Context) (event.Event, error) {
	for e, err := range s.store.ReadAll(ctx, eventstore.Query{Direction: eventstore.Backward, Limit: 1}) {
		return e, err
	}
	return event.Event{}, errors.New("the store is empty")
}

// project runs projections until they have seen every event.
func (s *shop) project(ctx context.Context, projections ...projection.Projection) (*projection.Runner, error) {
	runner, err := projection.NewRunner(s.store, projection.Config{Projections: projections})
	if err != nil {
		return nil, err
	}
	err = runner.RunUntilCaughtUp(ctx)
	return runner, err
}

// run runs an example in a shop and prints what went wrong, if anything did.
func run(example func(ctx context.Context, s *shop) error) {
	ctx := context.Background()
	s, err := openShop(ctx)
	if err == nil {
		err = errors.Join(example(ctx, s), s.store.Close())
	}
	if err != nil {
		fmt.Println("error:", err)
	}
}

// inFolder runs an example in a folder that is gone afterwards.
func inFolder(example func(ctx context.Context, s *shop, folder string) error) {
	run(func(ctx context.Context, s *shop) error {
		folder, err := os.MkdirTemp("", "evident")
		if err != nil {
			return err
		}
		return errors.Join(example(ctx, s, folder), os.RemoveAll(folder))
	})
}

func by(ctx context.Context, user string) context.Context {
	return event.WithActor(ctx, event.User(user))
}
