package main

import (
	"context"
	"errors"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// What can happen to a shipment, under the names that are stored.
type (
	Accepted struct {
		Town string `json:"town"`
	}
	Departed struct {
		Carrier string `json:"carrier"`
	}
	Delivered struct{}
)

func (Accepted) EventType() string  { return "ShipmentAccepted" }
func (Departed) EventType() string  { return "ShipmentDeparted" }
func (Delivered) EventType() string { return "ShipmentDelivered" }

// stage is how far a shipment has come.
type stage int

const (
	unknown stage = iota
	accepted
	departed
	delivered
)

var shipments = aggregate.Define("Shipment",
	aggregate.On(func(s *stage, _ event.Of[Accepted]) { *s = accepted }),
	aggregate.On(func(s *stage, _ event.Of[Departed]) { *s = departed }),
	aggregate.On(func(s *stage, _ event.Of[Delivered]) { *s = delivered }),
)

// errTooSoon is what a shipment refuses: a step before the one that comes first,
// or once more.
var errTooSoon = errors.New("shipment is not there yet, or was there already")

// Shipment is the aggregate: each step follows the one before.
type Shipment struct{ aggregate.AggregateRoot[stage] }

func (s *Shipment) step(ctx context.Context, from stage, happened event.Payload) error {
	if s.State() != from {
		return errTooSoon
	}
	return s.Emit(ctx, happened)
}

// Accept begins a shipment.
func (s *Shipment) Accept(ctx context.Context, town string) error {
	return s.step(ctx, unknown, Accepted{Town: town})
}

// Depart sends it on its way.
func (s *Shipment) Depart(ctx context.Context, carrier string) error {
	return s.step(ctx, accepted, Departed{Carrier: carrier})
}

// Deliver ends it.
func (s *Shipment) Deliver(ctx context.Context) error {
	return s.step(ctx, departed, Delivered{})
}
