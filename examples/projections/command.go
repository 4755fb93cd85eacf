package main

import (
	"context"
	"fmt"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// pause has somebody stop the read model for a while. No process forgets it.
func (s *shop) pause(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== Carol pauses the read model, and says why ===")
	if err := s.start(nil, nextReadModel(mended())); err != nil {
		return err
	}
	end := s.live(ctx)
	//docs:begin pause
	carol := event.WithActor(ctx, event.User("carol"))
	if err := s.control.Pause(carol, version2, "warehouse moves to another disk"); err != nil {
		return err
	}
	//docs:end pause
	if err := until(ctx, func() (bool, error) { return s.stands(ctx) }); err != nil {
		return err
	}
	position, err := s.emit(ctx, 4, Shipped{Carrier: "train"})
	if err != nil {
		return err
	}
	if err := s.showPaused(ctx); err != nil {
		return err
	}
	//docs:begin resume
	if err := s.control.Resume(carol, version2, "warehouse has moved"); err != nil {
		return err
	}
	//docs:end resume
	if err := s.runner.WaitFor(ctx, "orders", position); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "resumed:")
	if err := s.showRows(ctx); err != nil {
		return err
	}
	return end()
}

// stands reports whether the runner has seen that the read model is paused.
func (s *shop) stands(ctx context.Context) (bool, error) {
	status, err := s.runner.Status(ctx)
	return err == nil && status[0].State == projection.Paused, err
}

// showCommands prints what was commanded, as the audit log has it.
func (s *shop) showCommands(ctx context.Context) error {
	fmt.Fprintln(s.out, "\n=== Who has done what to the read model, and why ===")
	for _, version := range []registry.Name{version1, version2} {
		//docs:begin who
		entity := audit.EntityRef{Type: audit.EntityProjection, ID: version.String()}
		for record, err := range s.log.ByEntity(ctx, entity, audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "  %s: %-10s %-18s %s\n", version, record.ActorID(), record.Action(), record.Reason())
		}
		//docs:end who
	}
	return nil
}
