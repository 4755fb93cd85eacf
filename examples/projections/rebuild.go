package main

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/progressbar"
)

// readOwnWrite runs the read model live, as a service does, and waits until it
// shows what was just written.
func (s *shop) readOwnWrite(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== Live: an order is shipped, and the reader sees it ===")
	end := s.live(ctx)
	//docs:begin wait
	position, err := s.emit(ctx, 4, Shipped{Carrier: "bicycle"})
	if err != nil {
		return err
	}
	if err := s.runner.WaitFor(ctx, "orders", position); err != nil {
		return err
	}
	//docs:end wait
	if err := s.show(ctx); err != nil {
		return err
	}
	return end()
}

// rebuild throws the table away and replays all events into a new one. The
// event that was discarded is still in the store, which forgets nothing: it
// fails once more, and parks.
func (s *shop) rebuild(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== The table is dropped and rebuilt from the first event ===")
	before, err := s.rows(ctx)
	if err != nil {
		return err
	}
	if err := s.start(progressbar.New(s.bar, "rebuild").Update, readModel(mended())); err != nil {
		return err
	}
	//docs:begin rebuild
	if err := s.runner.Rebuild(ctx, "orders"); err != nil {
		return err
	}
	//docs:end rebuild
	after, err := s.rows(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "equal to what it was:", before == after)
	return s.show(ctx)
}

// buildBeside builds the next version beside the one that readers see, switches
// to it, and drops the old one, while orders go on.
func (s *shop) buildBeside(ctx context.Context) (err error) {
	fmt.Fprintln(s.out, "\n=== Version 2 is built beside version 1 while orders go on ===")
	traffic, err := s.beginTraffic(ctx)
	if err != nil {
		return err
	}
	bar := progressbar.New(s.bar, "version 2")
	onProgress := func(p projection.Status) {
		if p.Version == version2.Version {
			bar.Update(p)
		}
	}
	if err := s.start(onProgress, readModel(mended()), nextReadModel(mended())); err != nil { // this release knows both
		return err
	}
	end := s.live(ctx)
	if err := until(ctx, func() (bool, error) { return s.isKnown(ctx, version2) }); err != nil {
		return err
	}
	//docs:begin switch
	dora := event.WithActor(ctx, event.User("dora"))
	if err := s.control.AwaitCaughtUp(ctx, version2); err != nil {
		return err
	}
	if err := s.control.Switch(dora, version2, "customers want to see what they paid in"); err != nil {
		return err
	}
	if err := s.control.Await(ctx, version2); err != nil { // until it is done
		return err
	}
	//docs:end switch
	if err := s.showTraffic(ctx, traffic); err != nil {
		return err
	}
	//docs:begin retire
	if err := s.control.Retire(dora, version1, "nobody reads it any more"); err != nil {
		return err
	}
	if err := s.control.Await(ctx, version1); err != nil {
		return err
	}
	//docs:end retire
	if err := s.showVersions(ctx); err != nil {
		return err
	}
	return end()
}
