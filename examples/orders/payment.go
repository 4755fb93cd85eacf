package main

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// What can happen to a payment.
type (
	PaymentRequested struct {
		Order string `json:"order"`
		Cents Cents  `json:"cents"`
	}
	PaymentConfirmed struct {
		Transaction string `json:"transaction"`
	}
)

func (PaymentRequested) EventType() string { return "PaymentRequested" }
func (PaymentConfirmed) EventType() string { return "PaymentConfirmed" }

func (p PaymentRequested) String() string { return p.Cents.String() + " for " + p.Order }
func (p PaymentConfirmed) String() string { return "transaction " + p.Transaction }

// PaymentState is what a payment is after its events.
type PaymentState struct {
	Requested   Cents
	Transaction string // of the bank; "" until it was confirmed
}

var payments = aggregate.Define("Payment",
	aggregate.On(func(s *PaymentState, e event.Of[PaymentRequested]) { s.Requested = e.Payload.Cents }),
	aggregate.On(func(s *PaymentState, e event.Of[PaymentConfirmed]) { s.Transaction = e.Payload.Transaction }),
)

// PaymentID is the id of the one payment that an order has.
func PaymentID(order string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://shop.example/payments/"+order))
}

// Payment decides what may happen to a payment.
type Payment struct {
	aggregate.AggregateRoot[PaymentState]
}

// What a payment refuses.
var (
	ErrNotRequested = errors.New("payment was not requested")
	ErrAmount       = errors.New("payment is of another amount than was requested")
	ErrPaidTwice    = errors.New("payment was confirmed already, by another transaction")
	ErrNotPaid      = errors.New("order is not paid for")
)

// Request asks for the money, once.
func (p *Payment) Request(ctx context.Context, order string, amount Cents) error {
	switch {
	case p.Version() == 0:
		return p.Emit(ctx, PaymentRequested{Order: order, Cents: amount})
	case amount != p.State().Requested:
		return ErrAmount
	default:
		return nil
	}
}

// Confirm says that the money is there. Webhooks are sent again when the answer
// gets lost: the same transaction is nothing new.
func (p *Payment) Confirm(ctx context.Context, transaction string, amount Cents) error {
	switch {
	case p.Version() == 0:
		return ErrNotRequested
	case p.State().Transaction == transaction:
		return nil
	case p.Paid():
		return ErrPaidTwice
	case amount != p.State().Requested:
		return ErrAmount
	default:
		return p.Emit(ctx, PaymentConfirmed{Transaction: transaction})
	}
}

// Paid reports whether the money is there.
func (p *Payment) Paid() bool { return p.State().Transaction != "" }
