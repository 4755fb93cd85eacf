package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
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

// rates says what a hundred of a currency's smallest units are worth, in cents.
type rates map[string]int

// readModel is a projection into a table of the store's own file: rows and
// checkpoint change in one transaction, so each event counts exactly once.
//
//docs:begin projection
func readModel(known rates) *sqlite.Projection {
	return sqlite.NewProjection("orders", 1,
		sqlite.Table("orders", "id BLOB PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL, carrier TEXT"),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Placed]) error {
			cents, err := known.convert(e.Payload)
			if err != nil {
				return projection.AsPoison(err) // trying again cannot help
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO orders (id, item, cents) VALUES (?, ?, ?)",
				e.AggregateID[:], e.Payload.Item, cents)
			return err
		}),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Shipped]) error {
			_, err := tx.ExecContext(ctx, "UPDATE orders SET carrier = ? WHERE id = ?", e.Payload.Carrier, e.AggregateID[:])
			return err
		}),
	)
}

//docs:end projection

func (r rates) convert(p Placed) (int, error) {
	rate, known := r[p.Currency]
	switch {
	case p.Cents <= 0:
		return 0, fmt.Errorf("an order of %d cents is none", p.Cents)
	case !known:
		return 0, fmt.Errorf("no rate for %s", p.Currency)
	default:
		return p.Cents * rate / 100, nil
	}
}
