package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// Cents is money, in hundredths of a euro.
type Cents int64

// String returns "189.00 EUR".
func (c Cents) String() string { return fmt.Sprintf("%d.%02d EUR", c/100, c%100) }

// Line is one article of an order.
type Line struct {
	Article string `json:"article"`
	Pieces  int    `json:"pieces"`
	Cents   Cents  `json:"cents"` // for one piece
}

// What can happen to an order, under the names that are stored.
type (
	OrderPlaced struct {
		Number   string `json:"number"`
		Customer string `json:"customer"`
		Address  string `json:"address"`
		Lines    []Line `json:"lines"`
	}
	AddressChanged struct {
		Address string `json:"address"`
	}
	NoteLeft struct {
		Note string `json:"note"`
	}
	OrderConfirmed struct {
		Invoice string `json:"invoice"`
	}
	OrderShipped struct {
		Parcel string `json:"parcel"`
	}
)

func (OrderPlaced) EventType() string    { return "OrderPlaced" }
func (AddressChanged) EventType() string { return "AddressChanged" }
func (NoteLeft) EventType() string       { return "NoteLeft" }
func (OrderConfirmed) EventType() string { return "OrderConfirmed" }
func (OrderShipped) EventType() string   { return "OrderShipped" }

// What the audit log says of them.
func (p OrderPlaced) String() string    { return p.Number + ", " + p.Total().String() }
func (p AddressChanged) String() string { return p.Address }
func (p NoteLeft) String() string       { return p.Note }
func (p OrderConfirmed) String() string { return "invoice " + p.Invoice }
func (p OrderShipped) String() string   { return "parcel " + p.Parcel }

// Total is what the order costs.
func (p OrderPlaced) Total() (total Cents) {
	for _, line := range p.Lines {
		total += Cents(line.Pieces) * line.Cents
	}
	return total
}

// Stage is how far an order has come. The zero value is an order that was not
// placed.
type Stage string

// The stages.
const (
	Placed    Stage = "placed"
	Confirmed Stage = "confirmed"
	Shipped   Stage = "shipped"
)

// OrderState is what an order is after its events.
type OrderState struct {
	Stage   Stage
	Placed  OrderPlaced
	Address string
	Note    string
	Invoice string
}

var orders = aggregate.Define("Order",
	aggregate.On(func(s *OrderState, e event.Of[OrderPlaced]) {
		*s = OrderState{Stage: Placed, Placed: e.Payload, Address: e.Payload.Address}
	}),
	aggregate.On(func(s *OrderState, e event.Of[AddressChanged]) { s.Address = e.Payload.Address }),
	aggregate.On(func(s *OrderState, e event.Of[NoteLeft]) { s.Note = e.Payload.Note }),
	aggregate.On(func(s *OrderState, e event.Of[OrderConfirmed]) { s.Stage, s.Invoice = Confirmed, e.Payload.Invoice }),
	aggregate.On(func(s *OrderState, _ event.Of[OrderShipped]) { s.Stage = Shipped }),
)

// OrderID is the id of the order with a number: the same each time.
func OrderID(number string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://shop.example/orders/"+number))
}

// Order decides what may happen to an order.
type Order struct {
	aggregate.AggregateRoot[OrderState]
}

// What an order refuses.
var (
	ErrPlaced       = errors.New("order was placed already")
	ErrNotPlaced    = errors.New("order was not placed")
	ErrNothing      = errors.New("order needs lines, each of at least one piece")
	ErrConfirmed    = errors.New("order was confirmed already")
	ErrNotConfirmed = errors.New("order is not confirmed")
	ErrShipped      = errors.New("order was shipped already")
)

// Place starts an order's history.
func (o *Order) Place(ctx context.Context, p OrderPlaced) error {
	if o.Version() > 0 {
		return ErrPlaced
	}
	if len(p.Lines) == 0 {
		return ErrNothing
	}
	for _, line := range p.Lines {
		if line.Pieces < 1 {
			return ErrNothing
		}
	}
	return o.Emit(ctx, p)
}

// ChangeAddress sends the order elsewhere, as long as it is here.
func (o *Order) ChangeAddress(ctx context.Context, address string) error {
	if err := o.changeable(); err != nil {
		return err
	}
	if address == o.State().Address {
		return nil
	}
	return o.Emit(ctx, AddressChanged{Address: address})
}

// LeaveNote says something to whoever delivers.
func (o *Order) LeaveNote(ctx context.Context, note string) error {
	if err := o.changeable(); err != nil {
		return err
	}
	if note = strings.TrimSpace(note); note == o.State().Note {
		return nil
	}
	return o.Emit(ctx, NoteLeft{Note: note})
}

func (o *Order) changeable() error {
	switch o.State().Stage {
	case "":
		return ErrNotPlaced
	case Shipped:
		return ErrShipped
	default:
		return nil
	}
}

// Confirm says that the order is paid for and its articles are put aside.
func (o *Order) Confirm(ctx context.Context, invoice string) error {
	switch o.State().Stage {
	case "":
		return ErrNotPlaced
	case Placed:
		return o.Emit(ctx, OrderConfirmed{Invoice: invoice})
	default:
		return ErrConfirmed
	}
}

// Ship hands the order over to a carrier.
func (o *Order) Ship(ctx context.Context, parcel string) error {
	switch o.State().Stage {
	case Confirmed:
		return o.Emit(ctx, OrderShipped{Parcel: parcel})
	case Shipped:
		return ErrShipped
	default:
		return ErrNotConfirmed
	}
}
