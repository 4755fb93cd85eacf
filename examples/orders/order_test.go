package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/event"
)

func TestDefinitions(t *testing.T) {
	t.Parallel()
	require.NoError(t, orders.Validate())
	require.NoError(t, payments.Validate())
	require.NoError(t, stocks.Validate())
}

// order is what the tests order, for 24 euros.
func order() OrderPlaced {
	return OrderPlaced{
		Number: "T-1", Customer: "customer-1", Address: "1 Hill Road",
		Lines: []Line{{Article: "pen", Pieces: 2, Cents: 700}, {Article: "ink", Pieces: 1, Cents: 1000}},
	}
}

type onOrder = func(ctx context.Context, o *Order) error

func place(ctx context.Context, o *Order) error   { return o.Place(ctx, order()) }
func confirm(ctx context.Context, o *Order) error { return o.Confirm(ctx, "2024-0001") }
func ship(ctx context.Context, o *Order) error    { return o.Ship(ctx, "PKG-1") }

func moveTo(address string) onOrder {
	return func(ctx context.Context, o *Order) error { return o.ChangeAddress(ctx, address) }
}

func leave(note string) onOrder {
	return func(ctx context.Context, o *Order) error { return o.LeaveNote(ctx, note) }
}

func placing(lines ...Line) onOrder {
	return func(ctx context.Context, o *Order) error { return o.Place(ctx, OrderPlaced{Lines: lines}) }
}

var (
	placed    = []event.Payload{order()}
	confirmed = []event.Payload{order(), OrderConfirmed{Invoice: "2024-0001"}}
	shipped   = []event.Payload{order(), OrderConfirmed{Invoice: "2024-0001"}, OrderShipped{Parcel: "PKG-1"}}
)

func TestWhatHappensToAnOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []event.Payload
		when  onOrder
		then  []event.Payload
	}{
		"place":               {nil, place, placed},
		"change the address":  {placed, moveTo("2 Lake Street"), []event.Payload{AddressChanged{Address: "2 Lake Street"}}},
		"to where it was":     {placed, moveTo("1 Hill Road"), nil},
		"leave a note":        {confirmed, leave(" ring twice "), []event.Payload{NoteLeft{Note: "ring twice"}}},
		"leave no note":       {placed, leave(" "), nil},
		"confirm":             {placed, confirm, []event.Payload{OrderConfirmed{Invoice: "2024-0001"}}},
		"ship":                {confirmed, ship, []event.Payload{OrderShipped{Parcel: "PKG-1"}}},
		"two lines of a kind": {nil, placing(Line{"pen", 1, 1}, Line{"pen", 1, 1}), []event.Payload{OrderPlaced{Lines: []Line{{"pen", 1, 1}, {"pen", 1, 1}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.Given[Order](t, orders, c.given...).When(c.when).Then(c.then...)
		})
	}
}

func TestWhatAnOrderRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given []event.Payload
		when  onOrder
		want  error
	}{
		"place twice":                 {placed, place, ErrPlaced},
		"place nothing":               {nil, placing(), ErrNothing},
		"place no pieces":             {nil, placing(Line{"pen", 1, 1}, Line{"ink", 0, 1}), ErrNothing},
		"change one that is not":      {nil, moveTo("2 Lake Street"), ErrNotPlaced},
		"change one that is gone":     {shipped, moveTo("2 Lake Street"), ErrShipped},
		"note on one that is not":     {nil, leave("ring"), ErrNotPlaced},
		"note on one that is gone":    {shipped, leave("ring"), ErrShipped},
		"confirm one that is not":     {nil, confirm, ErrNotPlaced},
		"confirm twice":               {confirmed, confirm, ErrConfirmed},
		"ship before it is confirmed": {placed, ship, ErrNotConfirmed},
		"ship twice":                  {shipped, ship, ErrShipped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aggregatetest.Given[Order](t, orders, c.given...).When(c.when).ThenError(c.want)
		})
	}
}

func TestOrderState(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[Order](t, orders, order(), AddressChanged{Address: "2 Lake Street"}, OrderConfirmed{Invoice: "2024-0001"}).
		When(leave("ring")).
		ThenState(OrderState{Stage: Confirmed, Placed: order(), Address: "2 Lake Street", Note: "ring", Invoice: "2024-0001"})
}

func TestMoney(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "24.00 EUR", order().Total().String())
	assert.Equal(t, "0.05 EUR", Cents(5).String())
}
