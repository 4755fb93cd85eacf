package process_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// What the shop's aggregates refuse.
var (
	errSoldOut   = errors.New("sold out")
	errPacked    = errors.New("parcel is packed already")
	errNotPacked = errors.New("parcel is not packed")
	errRequested = errors.New("payment was requested already")
	errNotOpen   = errors.New("payment is not open")
)

// Order is what customers place.
type Order struct {
	aggregate.AggregateRoot[struct{}]
}

var orders = aggregate.Define("Order", aggregate.On(func(*struct{}, event.Of[OrderPlaced]) {}))

// parcelState counts what was done to a parcel, so that a test sees what was
// done twice.
type parcelState struct{ Packed, Unpacked, Sent int }

func (s parcelState) String() string {
	return fmt.Sprintf("{packed:%d unpacked:%d sent:%d}", s.Packed, s.Unpacked, s.Sent)
}

// Parcel refuses what is done to it twice.
type Parcel struct {
	aggregate.AggregateRoot[parcelState]
}

var parcels = aggregate.Define("Parcel",
	aggregate.On(func(s *parcelState, _ event.Of[ParcelPacked]) { s.Packed++ }),
	aggregate.On(func(s *parcelState, _ event.Of[ParcelUnpacked]) { s.Unpacked++ }),
	aggregate.On(func(s *parcelState, _ event.Of[ParcelSent]) { s.Sent++ }),
)

// soldOut is the id of an order that cannot be packed.
var soldOut = uuid.MustParse("01900000-0000-7000-8000-00000000dead")

func (p *Parcel) Pack(ctx context.Context) error {
	switch {
	case p.ID() == soldOut:
		return errSoldOut
	case p.State().Packed > 0:
		return errPacked
	}
	return p.Emit(ctx, ParcelPacked{})
}

func (p *Parcel) Send(ctx context.Context) error {
	if s := p.State(); s.Packed == 0 || s.Unpacked > 0 || s.Sent > 0 {
		return errNotPacked
	}
	return p.Emit(ctx, ParcelSent{})
}

type paymentState struct{ Requested, Received, Cancelled int }

// Payment refuses what is done to it twice.
type Payment struct {
	aggregate.AggregateRoot[paymentState]
}

var payments = aggregate.Define("Payment",
	aggregate.On(func(s *paymentState, _ event.Of[PaymentRequested]) { s.Requested++ }),
	aggregate.On(func(s *paymentState, _ event.Of[PaymentReceived]) { s.Received++ }),
	aggregate.On(func(s *paymentState, _ event.Of[PaymentCancelled]) { s.Cancelled++ }),
)

func (p *Payment) Request(ctx context.Context, cents int64) error {
	if p.State().Requested > 0 {
		return errRequested
	}
	return p.Emit(ctx, PaymentRequested{Cents: cents})
}

func (p *Payment) Receive(ctx context.Context, order uuid.UUID) error {
	return p.Emit(ctx, PaymentReceived{Order: order})
}

func (p *Payment) Cancel(ctx context.Context) error {
	if s := p.State(); s.Requested == 0 || s.Cancelled > 0 {
		return errNotOpen
	}
	return p.Emit(ctx, PaymentCancelled{})
}
