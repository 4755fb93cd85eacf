package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// office is what the acts of the story share.
type office struct {
	out       io.Writer
	folder    string
	servers   *servers
	conn      *nats.Conn
	js        natsjs.JetStream
	events    *jetstream.Store
	tables    *sqlite.Store
	shipments *aggregate.Repository[Shipment]
	workers   []*worker

	delivered atomic.Int64
	closers   []func() error // what is open, in the order in which it was opened
}

// openOffice starts the servers and creates the store.
func openOffice(ctx context.Context, out io.Writer, folder string) (o *office, err error) {
	o = &office{out: out, folder: folder}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if o.servers, err = startServers(ctx, folder); err != nil {
		return nil, err
	}
	o.closers = append(o.closers, func() error { o.servers.close(); return nil })
	if o.conn, o.js, err = connect(o.servers.url(), "office"); err != nil {
		return nil, err
	}
	o.closers = append(o.closers, func() error { o.conn.Close(); return nil })
	if err := o.openEvents(ctx); err != nil {
		return nil, err
	}
	if o.tables, err = openTables(ctx, o.tablesPath()); err != nil {
		return nil, err
	}
	o.closers = append(o.closers, o.tables.Close)
	return o, os.Mkdir(o.noticesPath(), 0o700)
}

// openEvents creates the store on the servers, and opens it.
func (o *office) openEvents(ctx context.Context) (err error) {
	err = answered(ctx, func() error { return jetstream.Provision(ctx, o.js, replicas()) })
	if err != nil {
		return err
	}
	if o.events, err = openEvents(ctx, o.js); err != nil {
		return err
	}
	o.closers = append(o.closers, o.events.Close)
	o.shipments = aggregate.NewRepository[Shipment](o.events, shipments)
	return nil
}

// openTables makes and opens a database for read models. Nobody appends to it.
func openTables(ctx context.Context, path string) (*sqlite.Store, error) {
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, config)
}

func (o *office) tablesPath() string  { return filepath.Join(o.folder, "shipments.db") }
func (o *office) noticesPath() string { return filepath.Join(o.folder, "notices") }

// close ends whatever is there, the last one first.
func (o *office) close() error {
	err := o.stopWorkers()
	for _, closer := range slices.Backward(o.closers) {
		err = errors.Join(err, closer())
	}
	return err
}

func (o *office) stopWorkers() (err error) {
	for _, w := range o.workers {
		err = errors.Join(err, w.stop())
	}
	o.workers = nil
	return err
}

// control tells about projections whose progress is there.
func (o *office) control(progress projection.Progress) (*projection.Control, error) {
	return projection.NewControl(o.events, projection.ControlConfig{Progress: progress, Recorder: projection.Unrecorded{}})
}

func shipmentID(number int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "shipment %d", number))
}

// ship lets a shipment happen from its first step to its last: three appends, each
// on the version that the one before has left.
func (o *office) ship(ctx context.Context, number int) error {
	ctx = event.WithActor(ctx, event.User("alice"))
	towns := []string{"Oslo", "Porto", "Lviv"}
	for _, step := range []func(s *Shipment) error{
		func(s *Shipment) error { return s.Accept(ctx, towns[number%len(towns)]) },
		func(s *Shipment) error { return s.Depart(ctx, "rail") },
		func(s *Shipment) error { return s.Deliver(ctx) },
	} {
		if err := o.shipments.Update(ctx, shipmentID(number), step); err != nil {
			return fmt.Errorf("shipment %d: %w", number, err)
		}
	}
	o.delivered.Add(1)
	return nil
}

// clerks is how many ship at a time.
const clerks = 4

// shipAll ships all of these numbers, and returns when the last one is delivered.
func (o *office) shipAll(ctx context.Context, from, to int) error {
	numbers, ended := make(chan int), make(chan error, clerks)
	for range clerks {
		go func() {
			var errs []error
			for n := range numbers {
				errs = append(errs, o.ship(ctx, n))
			}
			ended <- errors.Join(errs...)
		}()
	}
	for n := from; n < to; n++ {
		numbers <- n
	}
	close(numbers)
	var errs []error
	for range clerks {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}
