package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/postgres"
)

// orderList is the list of all orders. It runs in the transaction of each
// append, so it is never late, and every append pays for it.
//
//docs:begin inline
func orderList() *postgres.Projection {
	return postgres.NewProjection("order_list", 1,
		postgres.Table("order_list", `
			id uuid PRIMARY KEY, number text NOT NULL, customer text NOT NULL,
			cents bigint NOT NULL, stage text NOT NULL, placed_by text NOT NULL`),
		postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[OrderPlaced]) error {
			_, err := tx.Exec(ctx, `
				INSERT INTO order_list (id, number, customer, cents, stage, placed_by) VALUES ($1, $2, $3, $4, $5, $6)`,
				e.AggregateID, e.Payload.Number, e.Payload.Customer, int64(e.Payload.Total()), string(Placed), string(e.ActorID))
			return err
		}),
		postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[OrderConfirmed]) error {
			return setStage(ctx, tx, e.Event, Confirmed)
		}),
		postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[OrderShipped]) error {
			return setStage(ctx, tx, e.Event, Shipped)
		}),
	)
}

//docs:end inline

func setStage(ctx context.Context, tx pgx.Tx, e event.Event, stage Stage) error {
	_, err := tx.Exec(ctx, "UPDATE order_list SET stage = $2 WHERE id = $1", e.AggregateID, string(stage))
	return err
}

// sales says how much of each article was sold. A runner keeps it up to date,
// a moment after the append, which does not wait for it.
//
//docs:begin asynchronous
func sales() *postgres.Projection {
	return postgres.NewProjection("sales", 1,
		postgres.Table("sales", "article text PRIMARY KEY, pieces bigint NOT NULL, cents bigint NOT NULL"),
		postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[OrderPlaced]) error {
			for _, line := range e.Payload.Lines {
				_, err := tx.Exec(ctx, `
					INSERT INTO sales AS s (article, pieces, cents) VALUES ($1, $2, $3)
					ON CONFLICT (article) DO UPDATE SET pieces = s.pieces + $2, cents = s.cents + $3`,
					line.Article, int64(line.Pieces), int64(line.Pieces)*int64(line.Cents))
				if err != nil {
					return err
				}
			}
			return nil
		}),
	)
}

//docs:end asynchronous

// OrderRow is a row of the list of orders.
type OrderRow struct {
	Number, Customer string
	Cents            int64
	Stage, PlacedBy  string
}

// Orders reads the list. db is the pool, or a transaction that sees more.
func (s *Shop) Orders(ctx context.Context, db querier) ([]OrderRow, error) {
	rows, err := db.Query(ctx, "SELECT number, customer, cents, stage, placed_by FROM order_list ORDER BY number")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OrderRow])
}

// SalesRow is a row of the sales.
type SalesRow struct {
	Article       string
	Pieces, Cents int64
}

// Sales reads the sales.
func (s *Shop) Sales(ctx context.Context) ([]SalesRow, error) {
	rows, err := s.store.Pool().Query(ctx, "SELECT article, pieces, cents FROM sales ORDER BY article")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[SalesRow])
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
