package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	modernc "modernc.org/sqlite"

	"github.com/evident-go/evident/eventstore"
)

// readers are the connections that events are read with. They are opened when
// they are first needed.
type readers struct {
	source  string
	free    chan *connection // nil for one that is not open
	closing <-chan struct{}
}

func newReaders(source string, n int, closing <-chan struct{}) *readers {
	p := &readers{source: source, free: make(chan *connection, n), closing: closing}
	for range n {
		p.free <- nil
	}
	return p
}

// use calls f with a connection, for which it waits. A connection on which
// something went wrong is not used again.
func (p *readers) use(ctx context.Context, f func(c *connection) error) error {
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	if c == nil {
		if c, err = connect(p.source); err != nil {
			p.free <- nil
			return err
		}
	}
	err = f(c)
	if codeOf(err) != 0 {
		err = errors.Join(err, c.close())
		c = nil
	}
	p.free <- c
	return err
}

func (p *readers) take(ctx context.Context) (*connection, error) {
	select {
	case <-p.closing:
		return nil, eventstore.ErrClosed
	default:
	}
	select {
	case c := <-p.free:
		return c, nil
	case <-p.closing:
		return nil, eventstore.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close waits for all connections to come back and closes them. Nobody takes
// one any more: closing is closed.
func (p *readers) close() error {
	var errs []error
	for range cap(p.free) {
		if c := <-p.free; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}

// connector opens the connections of [Store.DB].
type connector struct{ source string }

// Connect implements [driver.Connector].
func (c connector) Connect(context.Context) (driver.Conn, error) {
	return (&modernc.Driver{}).Open(c.source)
}

// Driver implements [driver.Connector].
func (c connector) Driver() driver.Driver { return &modernc.Driver{} }
