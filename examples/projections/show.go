package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/registry"
)

// show prints the read model, how far it has come, and what is parked.
func (s *shop) show(ctx context.Context) error {
	if err := s.showRows(ctx); err != nil {
		return err
	}
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

func (s *shop) showRows(ctx context.Context) error {
	rows, err := s.rows(ctx)
	fmt.Fprint(s.out, rows)
	return err
}

// showParked prints the events that wait, and why.
func (s *shop) showParked(ctx context.Context) error {
	parked, err := s.control.List(ctx, dlq.Filter{Projection: "orders"})
	if err != nil {
		return err
	}
	for _, p := range parked {
		letters, err := s.control.Show(ctx, version1, p.Sequence.Key, 0)
		if err != nil {
			return err
		}
		for _, l := range letters {
			fmt.Fprintf(s.out, "  parked: %s at position %d: %s\n", l.Event.Type, l.Event.Position, cmp.Or(l.Letter.Cause, "waits behind the one before"))
		}
	}
	return nil
}

// showVersions prints the versions of the read model, their tables, and what is
// new in it.
func (s *shop) showVersions(ctx context.Context) error {
	versions, err := s.control.Status(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		fmt.Fprintf(s.out, "%s is %s\n", v.Name, v.Record.State)
	}
	tables, err := s.text(ctx, "SELECT name, '', '' FROM sqlite_schema WHERE type = 'table' AND name LIKE 'orders_v%'")
	if err != nil {
		return err
	}
	paid, err := s.text(ctx, "SELECT item, format('%10s', paid), coalesce(carrier, 'not shipped') FROM orders WHERE item != 'bread' ORDER BY item")
	fmt.Fprint(s.out, "tables:\n", tables, "the view:\n", paid)
	return err
}

// showPaused prints why the read model stands, and what it shows meanwhile.
func (s *shop) showPaused(ctx context.Context) error {
	status, err := s.runner.Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range status {
		fmt.Fprintf(s.out, "%s, behind: %t\n  %v\n", p.State, p.Lag() > 0, p.LastError)
	}
	return s.showRows(ctx)
}

// showLabels prints who has which lanes, and who has printed what.
func (s *shop) showLabels(ctx context.Context) error {
	owners, err := s.owners(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "lanes: first process %d, second process %d\n", owners["first process"], owners["second process"])
	labels, err := s.text(ctx, "SELECT carrier, '', 'printed by the ' || printed_by FROM labels WHERE carrier LIKE 'van number%' ORDER BY position")
	fmt.Fprint(s.out, labels)
	return err
}

// isKnown reports whether a runner has run a version.
func (s *shop) isKnown(ctx context.Context, name registry.Name) (bool, error) {
	_, err := s.store.Registry().Load(ctx, name)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// rows returns the read model as text. It is read as any table is.
func (s *shop) rows(ctx context.Context) (string, error) {
	return s.text(ctx, "SELECT item, format('%6.2f EUR', cents / 100.0), coalesce(carrier, 'not shipped') FROM orders WHERE item != 'bread' ORDER BY item")
}

// text returns rows of three columns as lines.
func (s *shop) text(ctx context.Context, query string) (text string, err error) {
	rows, err := s.store.DB().QueryContext(ctx, query)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var b strings.Builder
	for rows.Next() {
		var first, second, third string
		if err := rows.Scan(&first, &second, &third); err != nil {
			return "", err
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-10s %s  %s", first, second, third), " ") + "\n")
	}
	return b.String(), rows.Err()
}

func (s *shop) count(ctx context.Context, query string) (n int, err error) {
	err = s.store.DB().QueryRowContext(ctx, query).Scan(&n)
	return n, err
}
