package main

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
)

// paymentRequests asks for the money when an order was placed. It is a
// projection whose target is the event store itself: it appends in the
// transaction that moves its checkpoint, so each order is reacted to exactly
// once. It has no table and nothing to reset, so nobody can replay it.
//
//docs:begin reaction
func (s *Shop) paymentRequests() *postgres.Projection {
	return postgres.NewProjection("payment_requests", 1,
		postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[OrderPlaced]) error {
			in, err := newRepositories(s.store.Within(tx), s.now)
			if err != nil {
				return err
			}
			ctx = event.WithCause(ctx, e.Event) // the same chain, one link further
			ctx = event.WithActor(ctx, event.Service("checkout"))
			return in.payments.Update(ctx, PaymentID(e.Payload.Number), func(p *Payment) error {
				return p.Request(ctx, e.Payload.Number, e.Payload.Total())
			})
		}),
	)
}

//docs:end reaction

// Webhook is what the bank calls when it has the money.
type Webhook struct {
	Sender      string // "stripe", as the signature of the call proves
	Order       string
	Transaction string
	Cents       Cents
}

// Paid works on a call of the bank. The bank knows nothing of our chain, but we
// know what it answers: the last event of the payment.
func (s *Shop) Paid(ctx context.Context, w Webhook) error {
	id := PaymentID(w.Order)
	ctx, err := s.because(ctx, event.Webhook(w.Sender), "Payment", id)
	if err != nil {
		return err
	}
	return s.payments.Update(ctx, id, func(p *Payment) error { return p.Confirm(ctx, w.Transaction, w.Cents) })
}

// Ship hands an order over to a carrier, because it is confirmed.
func (s *Shop) Ship(ctx context.Context, actor event.ActorID, number, parcel string) error {
	ctx, err := s.because(ctx, actor, "Order", OrderID(number))
	if err != nil {
		return err
	}
	return s.orders.Update(ctx, OrderID(number), func(o *Order) error { return o.Ship(ctx, parcel) })
}

// because returns a context for an actor who acts because of what happened last
// to an aggregate.
//
//docs:begin because
func (s *Shop) because(ctx context.Context, actor event.ActorID, aggregateType string, id uuid.UUID) (context.Context, error) {
	ctx = event.WithActor(ctx, actor)
	stream := eventstore.Stream{AggregateType: aggregateType, AggregateID: id}
	last := eventstore.StreamQuery{Direction: eventstore.Backward, Limit: 1}
	for cause, err := range s.store.ReadStream(ctx, stream, last) {
		if err != nil {
			return ctx, err
		}
		return event.WithCause(ctx, cause), nil
	}
	return ctx, nil // nothing has happened to it, so nothing is the cause
}

//docs:end because
