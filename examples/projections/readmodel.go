package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
	"github.com/evident-go/evident/sqlite"
)

// The versions of the read model.
var (
	version1 = registry.Name{Projection: "orders", Version: 1}
	version2 = registry.Name{Projection: "orders", Version: 2}
)

// readModel is a projection into a table of the store's own file: rows and
// checkpoint change in one transaction, so each event counts exactly once.
//
//docs:begin projection
func readModel(known rates) *sqlite.Projection {
	return sqlite.NewProjection("orders", 1,
		sqlite.Table("orders_v1", "id BLOB PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL, carrier TEXT"),
		sqlite.View("orders", "SELECT id, item, cents, carrier FROM orders_v1"), // what readers ask
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Placed]) error {
			cents, err := known.convert(e.Payload)
			if err != nil {
				return projection.AsPoison(err) // trying again cannot help
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO orders_v1 (id, item, cents) VALUES (?, ?, ?)",
				e.AggregateID[:], e.Payload.Item, cents)
			return err
		}),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[Shipped]) error {
			_, err := tx.ExecContext(ctx, "UPDATE orders_v1 SET carrier = ? WHERE id = ?", e.Payload.Carrier, e.AggregateID[:])
			return err
		}),
	)
}

//docs:end projection

// nextReadModel is the next version. It has a table of its own, and the same
// view: what customers paid in is new.
//
//docs:begin next
func nextReadModel(known rates) *sqlite.Projection {
	return sqlite.NewProjection("orders", 2,
		sqlite.Table("orders_v2", "id BLOB PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL, paid TEXT NOT NULL, carrier TEXT"),
		sqlite.View("orders", "SELECT id, item, cents, paid, carrier FROM orders_v2"),
		sqlite.Index("CREATE INDEX orders_v2_by_item ON orders_v2 (item)"), // when it has caught up, not before
		sqlite.On(placed(known)),
		sqlite.On(shipped),
	)
}

//docs:end next

func placed(known rates) func(ctx context.Context, tx *sql.Tx, e event.Of[Placed]) error {
	return func(ctx context.Context, tx *sql.Tx, e event.Of[Placed]) error {
		cents, err := known.convert(e.Payload)
		if err != nil {
			return projection.AsPoison(err)
		}
		paid := fmt.Sprintf("%.2f %s", float64(e.Payload.Cents)/100, e.Payload.Currency)
		_, err = tx.ExecContext(ctx, "INSERT INTO orders_v2 (id, item, cents, paid) VALUES (?, ?, ?, ?)",
			e.AggregateID[:], e.Payload.Item, cents, paid)
		return err
	}
}

func shipped(ctx context.Context, tx *sql.Tx, e event.Of[Shipped]) error {
	_, err := tx.ExecContext(ctx, "UPDATE orders_v2 SET carrier = ? WHERE id = ?", e.Payload.Carrier, e.AggregateID[:])
	return err
}

// rates says what a hundred of a currency's smallest units are worth, in cents.
type rates map[string]int

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
