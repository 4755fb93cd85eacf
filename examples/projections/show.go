package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/evident-go/evident/dlq"
)

// show prints the read model, how far it has come, and what is parked.
func (s *shop) show(ctx context.Context) error {
	rows, err := s.rows(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(s.out, rows)
	status, err := s.runner.Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range status {
		fmt.Fprintf(s.out, "status: %s v%d, %s, position %d of %d, parked: %d events of %d orders\n",
			p.Projection, p.Version, p.Guarantee, p.Position, p.Head, p.DeadLetters.Letters, p.DeadLetters.Sequences)
	}
	return s.showParked(ctx)
}

// showParked prints the events that wait, and why.
func (s *shop) showParked(ctx context.Context) error {
	parked, err := s.runner.DeadLetters().Sequences(ctx, dlq.Filter{Projection: "orders"})
	if err != nil {
		return err
	}
	for _, p := range parked {
		letters, err := s.runner.DeadLetters().Letters(ctx, p.Sequence, 0)
		if err != nil {
			return err
		}
		for _, l := range letters {
			fmt.Fprintf(s.out, "  parked: %s at position %d: %s\n", l.EventType, l.Position, cmp.Or(l.Cause, "waits behind the one before"))
		}
	}
	return nil
}

// rows returns the read model as text. It is read as any table is.
func (s *shop) rows(ctx context.Context) (text string, err error) {
	rows, err := s.store.DB().QueryContext(ctx, "SELECT item, cents, carrier FROM orders ORDER BY item")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var b strings.Builder
	for rows.Next() {
		var item string
		var cents int
		var carrier sql.NullString
		if err := rows.Scan(&item, &cents, &carrier); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "  %-10s %6.2f EUR  %s\n", item, float64(cents)/100, cmp.Or(carrier.String, "not shipped"))
	}
	return b.String(), rows.Err()
}
