package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/evident-go/evident/event"
)

const (
	// pageEvents and pageBytes bound what a read holds in memory, and for how
	// long it keeps a connection and a state of the file from being reused.
	// From about 200 events on, larger pages are no faster.
	pageEvents = 512
	pageBytes  = 4 << 20
	// window is how many positions a page looks at when no index leads to
	// what it wants: a read that finds nothing still notices that ctx has ended.
	window = 16 << 10
)

// page is a part of a read.
type page struct {
	events []event.Event
	row    [readColumns]driver.Value
	full   bool // there may be more within the bounds that were asked for
}

// fill reads events until the limit or the page's own bound is reached.
func (p *page) fill(ctx context.Context, c *connection, limit int, query string, args ...driver.Value) (err error) {
	limit = min(limit, pageEvents)
	p.events, p.full = p.events[:0], false
	s, err := c.statement(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.query(ctx, s.bind(append(args, int64(limit))))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for size := 0; len(p.events) < limit && size < pageBytes; size += len(p.events[len(p.events)-1].Data) {
		err := rows.Next(p.row[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		e, err := decode(p.row[:])
		if err != nil {
			return err
		}
		p.events = append(p.events, e)
	}
	p.full = true
	return nil
}

// last returns the event that the page ends with.
func (p *page) last() *event.Event { return &p.events[len(p.events)-1] }
