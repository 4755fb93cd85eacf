package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// shop is what the acts of the story share.
type shop struct {
	out, bar io.Writer
	path     string // of the database
	store    *sqlite.Store
	orders   *aggregate.Repository[Order]
	runner   *projection.Runner
	log      *audit.Log
	control  *projection.Control
	ends     []func() error // of what runs
}

func openShop(ctx context.Context, out, bar io.Writer, path string) (*shop, error) {
	if err := sqlite.Migrate(ctx, sqlite.Config{Path: path}); err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return nil, err
	}
	s := &shop{out: out, bar: bar, path: path, store: store, orders: aggregate.NewRepository[Order](store, orders)}
	if err := s.openControl(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}

// close ends whatever still runs, as it does if an act fails, and closes the
// store.
func (s *shop) close() error {
	var errs []error
	for _, end := range s.ends {
		errs = append(errs, end())
	}
	return errors.Join(append(errs, s.store.Close())...)
}

// openControl is what operators work with. It needs no code of the projections.
func (s *shop) openControl() (err error) {
	//docs:begin control
	s.log, err = audit.NewLog(s.store, audit.Replay(s.store, audit.Config{}), audit.LogConfig{})
	if err != nil {
		return err
	}
	s.control, err = projection.NewControl(s.store, projection.ControlConfig{Recorder: audit.CommandLog(s.log)})
	//docs:end control
	return err
}

// start makes the runner of a release: one that knows these projections.
func (s *shop) start(onProgress func(projection.Status), projections ...projection.Projection) (err error) {
	//docs:begin runner
	s.runner, err = projection.NewRunner(s.store, projection.Config{
		Projections: projections,
		BatchSize:   100,                              // so that there is progress to be seen; 500 by default
		LeaseTTL:    2 * time.Second,                  // so that nobody waits for the story; 10 s by default
		Redrive:     projection.Retry{MaxAttempts: 1}, // by command only; by default parked events are also tried again by themselves
		OnProgress:  onProgress,
	})
	//docs:end runner
	return err
}

// live runs the runner as a service does, until end is called.
func (s *shop) live(ctx context.Context) (end func() error) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.runner.Run(ctx) }()
	end = sync.OnceValue(func() error {
		stop()
		return <-ended // nil: the batch in hand is finished, the checkpoint saved, the lease given up
	})
	s.ends = append(s.ends, end)
	return end
}

func orderID(number int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "order %d", number))
}

// emit lets something happen to an order and returns the position of it.
func (s *shop) emit(ctx context.Context, number int, payloads ...event.Payload) (position uint64, err error) {
	ctx = event.WithActor(ctx, event.User("alice"))
	err = s.orders.Update(ctx, orderID(number), func(o *Order) error { return o.Emit(ctx, payloads...) })
	if err != nil {
		return 0, err
	}
	o, err := s.orders.Load(ctx, orderID(number))
	if err != nil {
		return 0, err
	}
	return o.Position(), nil
}

// until waits for something to be so.
func until(ctx context.Context, isSo func() (bool, error)) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if so, err := isSo(); so || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
