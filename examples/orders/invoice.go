package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// The invoices are a table like any other, older than the events and written by
// other programs, too. Nothing of it is derived from events.
const invoices = `CREATE TABLE IF NOT EXISTS invoices (
	number       text   PRIMARY KEY,
	order_number text   NOT NULL UNIQUE,
	cents        bigint NOT NULL CHECK (cents > 0)
)`

// ErrInvoice says that an invoice of that number, or for that order, is there.
var ErrInvoice = errors.New("invoice exists already")

// Confirm confirms an order that is paid for: its articles are put aside, and
// the invoice is written. All of it happens, or nothing. When somebody else
// changes one of these things meanwhile, it is an [eventstore.ErrConflict], and
// the caller may try again.
//
//docs:begin within
func (s *Shop) Confirm(ctx context.Context, order, invoice string) error {
	ctx, err := s.because(ctx, event.Service("warehouse"), "Payment", PaymentID(order))
	if err != nil {
		return err
	}
	return s.store.Atomically(ctx, func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
		return s.confirm(ctx, tx, events, order, invoice)
	})
}

func (s *Shop) confirm(ctx context.Context, tx pgx.Tx, events eventstore.Store, number, invoice string) error {
	in, err := newRepositories(events, s.now) // they append in the transaction
	if err != nil {
		return err
	}
	order, err := in.orders.Load(ctx, OrderID(number))
	if err != nil {
		return err
	}
	payment, err := in.payments.Load(ctx, PaymentID(number))
	if err != nil {
		return err
	}
	if !payment.Paid() {
		return ErrNotPaid
	}
	if err := order.Confirm(ctx, invoice); err != nil {
		return err
	}
	changed := []aggregate.Root{order, payment} // of the payment only the version counts: it must not change
	for _, line := range byArticle(order.State().Placed.Lines) {
		stock, err := in.stocks.Load(ctx, StockID(line.Article))
		if err != nil {
			return err
		}
		if err := stock.Reserve(ctx, number, line.Pieces); err != nil {
			return err
		}
		changed = append(changed, stock)
	}
	if err := aggregate.SaveAll(ctx, events, changed...); err != nil {
		return err
	}
	return writeInvoice(ctx, tx, invoice, order.State().Placed) // the shop's own table
}

//docs:end within

// byArticle returns one line for each article, in the order of their names.
// Whoever changes several stocks at once does it in this order, so that nobody
// blocks each other.
func byArticle(lines []Line) []Line {
	sums := make(map[string]Line)
	for _, line := range lines {
		line.Pieces += sums[line.Article].Pieces
		sums[line.Article] = line
	}
	var sorted []Line
	for _, article := range slices.Sorted(maps.Keys(sums)) {
		sorted = append(sorted, sums[article])
	}
	return sorted
}

func writeInvoice(ctx context.Context, tx pgx.Tx, invoice string, order OrderPlaced) error {
	_, err := tx.Exec(ctx, "INSERT INTO invoices (number, order_number, cents) VALUES ($1, $2, $3)",
		invoice, order.Number, int64(order.Total()))
	const uniqueViolation = "23505"
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == uniqueViolation {
		return ErrInvoice
	}
	return err
}

// Invoices returns how many invoices an order has: none or one.
func (s *Shop) Invoices(ctx context.Context, order string) (n int, err error) {
	err = s.store.Pool().QueryRow(ctx, "SELECT count(*) FROM invoices WHERE order_number = $1", order).Scan(&n)
	return n, err
}

// Receive puts an article on the shelf.
func (s *Shop) Receive(ctx context.Context, article string, pieces int) error {
	return s.stocks.Update(ctx, StockID(article), func(st *Stock) error { return st.Receive(ctx, article, pieces) })
}
