package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/audit"
)

func (s story) title(text string) { fmt.Fprintf(s.out, "\n=== %s ===\n", text) }

func (s story) showOrders(ctx context.Context, db querier) error {
	rows, err := s.Orders(ctx, db)
	if err != nil {
		return err
	}
	for _, r := range rows {
		fmt.Fprintf(s.out, "  %s  %s  %10s  %-9s  placed by %s\n", r.Number, r.Customer, Cents(r.Cents), r.Stage, r.PlacedBy)
	}
	return nil
}

func (s story) showSales(ctx context.Context) error {
	rows, err := s.Sales(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		fmt.Fprintln(s.out, "  nothing")
	}
	for _, r := range rows {
		fmt.Fprintf(s.out, "  %-5s %3d pieces  %10s\n", r.Article, r.Pieces, Cents(r.Cents))
	}
	return nil
}

// showConfirmation prints what a confirmation changes.
func (s story) showConfirmation(ctx context.Context, number string) error {
	order, err := s.orders.Load(ctx, OrderID(number))
	if err != nil {
		return err
	}
	invoices, err := s.Invoices(ctx, number)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "  order %s, %d of its invoices, free on the shelves:", order.State().Stage, invoices)
	for _, line := range byArticle(order.State().Placed.Lines) {
		stock, err := s.stocks.Load(ctx, StockID(line.Article))
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, " %d × %s", stock.State().Free, line.Article)
	}
	fmt.Fprintln(s.out)
	return nil
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, ErrInvoice):
		return "refused by the invoices' table, so nothing is changed"
	default:
		return err.Error()
	}
}

// trace draws everything that followed from alice's request.
func (s story) trace(ctx context.Context) error {
	s.title("What followed from the order")
	//docs:begin trace
	tree, err := audit.Trace(ctx, s.auditLog, checkout().Correlation())
	if err != nil {
		return err
	}
	tree.Label = func(r audit.ActivityRecord) string {
		return fmt.Sprintf("%s by %s: %s", r.EventType(), r.ActorID(), r.Description())
	}
	//docs:end trace
	_, err = tree.WriteTo(s.out)
	return err
}

// audit prints who did what to the order, when and on whose behalf.
func (s story) audit(ctx context.Context) error {
	for _, number := range []string{"A-1", "A-3"} {
		s.title("Who did what to " + number)
		entity := audit.Aggregate("Order", OrderID(number))
		for r, err := range s.auditLog.ByEntity(ctx, entity, audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			who := string(r.ActorID())
			if r.OnBehalfOf() != "" {
				who += " for " + string(r.OnBehalfOf())
			}
			fmt.Fprintf(s.out, "  %s  %-22s  %-21s  %s\n", r.OccurredAt().Format(time.TimeOnly), who, r.Action(), r.Description())
		}
	}
	return nil
}
