package main

import (
	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// Placed and Shipped are what can happen to an order.
type Placed struct {
	Item     string `json:"item"`
	Cents    int    `json:"cents"`
	Currency string `json:"currency"`
}

type Shipped struct {
	Carrier string `json:"carrier"`
}

func (Placed) EventType() string  { return "OrderPlaced" }
func (Shipped) EventType() string { return "OrderShipped" }

// Order is the aggregate. It has no rules, to keep the example short: so it
// lets through what the read model will choke on.
type Order struct {
	aggregate.AggregateRoot[status]
}

type status string

var orders = aggregate.Define("Order",
	aggregate.On(func(s *status, _ event.Of[Placed]) { *s = "placed" }),
	aggregate.On(func(s *status, _ event.Of[Shipped]) { *s = "shipped" }),
)
