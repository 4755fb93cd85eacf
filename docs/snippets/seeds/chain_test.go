package seeds_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

type (
	PaymentRequested struct{ Cents int64 }
	PaymentProcessed struct{ Transaction string }
	StockReserved    struct{ Pieces int }
)

func (PaymentRequested) EventType() string { return "PaymentRequested" }
func (PaymentProcessed) EventType() string { return "PaymentProcessed" }
func (StockReserved) EventType() string    { return "StockReserved" }

// follow stores an event that was caused by another, in a stream of its own.
func (s *shop) follow(ctx context.Context, cause event.Event, actor event.ActorID, aggregateType string, payload event.Payload) (event.Event, error) {
	ctx = event.WithActor(event.WithCause(ctx, cause), actor)
	e, err := event.NewWith(ctx, nil, s.clock.Now(), payload)
	if err != nil {
		return event.Event{}, err
	}
	stream := eventstore.Stream{AggregateType: aggregateType, AggregateID: uuid.New()}
	_, err = s.store.Append(ctx, eventstore.Append{Stream: stream, Events: []event.Event{e}})
	return e, err
}

// sale stores an order and what follows from it. The bank's clock is an hour
// behind.
func (s *shop) sale(ctx context.Context) error {
	ctx = event.WithCorrelation(ctx, chainID)
	if err := s.create(by(ctx, "7f3a"), orderID); err != nil {
		return err
	}
	created, err := s.last(ctx)
	if err != nil {
		return err
	}
	requested, errRequest := s.follow(ctx, created, event.Service("checkout"), "Payment", PaymentRequested{Cents: 9900})
	s.clock.pass(-time.Hour)
	processed, errProcess := s.follow(ctx, requested, event.Webhook("bank"), "Payment", PaymentProcessed{Transaction: "txn-42"})
	s.clock.pass(time.Hour)
	_, errReserve := s.follow(ctx, processed, event.Service("warehouse"), "Stock", StockReserved{Pieces: 1})
	return errors.Join(errRequest, errProcess, errReserve)
}

// What follows from an action is a tree. It is drawn from the log, not by hand.
func Example_howCorrelationWorks() {
	run(func(ctx context.Context, s *shop) error {
		if err := s.sale(ctx); err != nil {
			return err
		}
		tree, err := audit.Trace(ctx, s.log, chainID)
		if err != nil {
			return err
		}
		tree.Label = func(r audit.ActivityRecord) string { return r.EventType() + " by " + string(r.ActorID()) }
		fmt.Print(tree)
		return nil
	})
	// Output:
	// correlation 01900000-0000-7000-8000-0000000000cc: 4 records
	// └── OrderCreated by user:7f3a
	//     └── PaymentRequested by service:checkout
	//         └── PaymentProcessed by webhook:bank
	//             └── StockReserved by service:warehouse
}

// An event that follows from another is made in its cause's context, or is
// given its cause afterwards.
func Example_causation() {
	ctx := context.Background()
	created, err1 := event.New(by(ctx, "7f3a"), OrderCreated{})

	next := event.WithActor(event.WithCause(ctx, created), event.Service("checkout"))
	requested, err2 := event.New(next, PaymentRequested{Cents: 9900})
	fmt.Println(requested.CausationID == created.ID, requested.CorrelationID == created.CorrelationID)

	processed, err3 := event.New(event.WithActor(ctx, event.Webhook("bank")), PaymentProcessed{Transaction: "txn-42"})
	processed = processed.CausedBy(requested)
	fmt.Println(processed.CausationID == requested.ID, processed.CorrelationID == created.CorrelationID)
	fmt.Println(created.ActorID, requested.ActorID, processed.ActorID, errors.Join(err1, err2, err3))
	// Output:
	// true true
	// true true
	// user:7f3a service:checkout webhook:bank <nil>
}

// A chain is asked for by its id, and comes in the order in which it was
// recorded: the slow clock of the bank does not put the effect before its cause.
func Example_chainByCorrelation() {
	run(func(ctx context.Context, s *shop) error {
		if err := s.sale(ctx); err != nil {
			return err
		}
		for record, err := range s.log.ByCorrelation(ctx, chainID, audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			fmt.Println(record.Position(), record.EventType(), "by", record.ActorID(), "at", record.OccurredAt().Format(time.TimeOnly))
		}
		return nil
	})
	// Output:
	// 1 OrderCreated by user:7f3a at 09:15:00
	// 2 PaymentRequested by service:checkout at 09:15:00
	// 3 PaymentProcessed by webhook:bank at 08:15:00
	// 4 StockReserved by service:warehouse at 09:15:00
}
