package seeds_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// aDay is what happened before somebody looks: ann creates two orders, nobody
// in particular ships one, and bob ships the other by a clock that is slow.
func (s *shop) aDay(ctx context.Context) error {
	ann, bob := by(ctx, "ann"), by(ctx, "bob")
	err := errors.Join(s.create(ann, orderID), s.create(ann, otherID), s.ship(ctx, orderID))
	s.clock.pass(-time.Hour)
	err = errors.Join(err, s.ship(bob, otherID))
	s.clock.pass(time.Hour)
	return err
}

func show(records iter.Seq2[audit.ActivityRecord, error]) error {
	for record, err := range records {
		if err != nil {
			return err
		}
		fmt.Println(record.OccurredAt().Format(time.TimeOnly), record)
	}
	return nil
}

// Every event becomes one record of the audit log.
func Example_auditLog() {
	run(func(ctx context.Context, s *shop) error {
		if err := s.aDay(ctx); err != nil {
			return err
		}
		auditLog := memory.NewAuditLog(audit.Config{})
		runner, err := s.project(ctx, auditLog) // keeps checkpoint and dead letters
		if err != nil {
			return err
		}
		fmt.Println("-- by an actor")
		err = show(auditLog.ByActor(ctx, event.User("ann"), audit.Page{}))
		fmt.Println("-- of an aggregate")
		err = errors.Join(err, show(auditLog.ByAggregate(ctx, orderID, audit.Page{})))
		fmt.Println("-- the most recent") // 100, unless the page says otherwise
		err = errors.Join(err, show(auditLog.Recent(ctx, audit.Page{Limit: 2})))
		fmt.Println("-- emptied and filled again")
		err = errors.Join(err, runner.Rebuild(ctx, audit.LogName))
		return errors.Join(err, show(auditLog.Recent(ctx, audit.Page{Limit: 1})))
	})
	// Output:
	// -- by an actor
	// 09:15:00 #2 user:ann triggered OrderCreated on Order
	// 09:15:00 #1 user:ann triggered OrderCreated on Order
	// -- of an aggregate
	// 09:15:00 #3 anonymous triggered OrderShipped on Order
	// 09:15:00 #1 user:ann triggered OrderCreated on Order
	// -- the most recent
	// 08:15:00 #4 user:bob triggered OrderShipped on Order
	// 09:15:00 #3 anonymous triggered OrderShipped on Order
	// -- emptied and filled again
	// 08:15:00 #4 user:bob triggered OrderShipped on Order
}

// The same in a database. Records move in one transaction with the checkpoint;
// an event that comes again changes nothing.
func Example_auditLogInDatabase() {
	inFolder(func(ctx context.Context, s *shop, folder string) error {
		config := sqlite.Config{Path: filepath.Join(folder, "shop.db")}
		if err := sqlite.Migrate(ctx, config); err != nil {
			return err
		}
		store, err := sqlite.Open(ctx, config)
		if err != nil {
			return err
		}
		s.orders = aggregate.NewRepository[Order](store, orders)
		if err := s.aDay(ctx); err != nil {
			return errors.Join(err, store.Close())
		}
		auditLog := sqlite.NewAuditLog(store, audit.Config{})
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{auditLog}})
		if err != nil {
			return errors.Join(err, store.Close())
		}
		err = errors.Join(runner.RunUntilCaughtUp(ctx), runner.Rebuild(ctx, audit.LogName))
		fmt.Println(auditLog.Guarantee())
		comparison, errCompare := audit.Compare(ctx, auditLog, audit.Replay(store, audit.Config{}), 10)
		fmt.Println(comparison)
		return errors.Join(err, errCompare, store.Close())
	})
	// Output:
	// exactly once
	// 4 compared, all equal
}

// Each actor has a feed; whoever was not named has one, too.
func Example_userActivity() {
	run(func(ctx context.Context, s *shop) error {
		if err := s.aDay(ctx); err != nil {
			return err
		}
		activity := memory.NewUserActivity()
		if _, err := s.project(ctx, activity); err != nil {
			return err
		}
		for _, actor := range []event.ActorID{event.User("ann"), event.Anonymous} {
			for a, err := range activity.ByActor(ctx, actor, audit.Page{}) { // 50, unless the page says otherwise
				if err != nil {
					return err
				}
				fmt.Println(a.ActorID, a.Position, a.EventType, a.OccurredAt.Format(time.TimeOnly))
			}
		}
		// As text 11:00+02:00 is later than 09:15Z; as a time it is earlier.
		since := time.Date(2026, time.May, 4, 11, 0, 0, 0, time.FixedZone("", 2*60*60))
		for active, err := range activity.ActiveSince(ctx, since) {
			if err != nil {
				return err
			}
			fmt.Println("active:", active.ActorID, active.Count)
		}
		return nil
	})
	// Output:
	// user:ann 2 OrderCreated 09:15:00
	// user:ann 1 OrderCreated 09:15:00
	// anonymous 3 OrderShipped 09:15:00
	// active: anonymous 1
	// active: user:ann 2
}

// Disclosures is what a regulator asks for: who has taken out what, for what
// purpose, and what was refused.
type Disclosures struct{ lines map[uint64]string }

func (d *Disclosures) Projection() projection.Projection {
	d.lines = make(map[uint64]string)
	return projection.New("disclosures", 1,
		projection.On(func(_ context.Context, e event.Of[audit.ActivityRecorded]) error {
			d.lines[e.Position] = fmt.Sprintf("%s %s: %s for %q", e.ActorID, e.Payload.Action, e.Payload.Outcome, e.Payload.Purpose)
			return nil
		}),
		projection.OnReset(func(context.Context) error { clear(d.lines); return nil }),
	)
}

// One runner keeps them all: the general log, the feeds, and a view of your own
// for a regulator.
func Example_dedicatedAuditViews() {
	run(func(ctx context.Context, s *shop) error {
		export := audit.Draft{Action: "order.exported", Entity: audit.Aggregate("Order", orderID), Purpose: "tax audit"}
		if _, err := s.log.Append(by(ctx, "ann"), export); err != nil {
			return err
		}
		export.Outcome, export.Purpose = audit.Denied, ""
		if _, err := s.log.Append(by(ctx, "bob"), export); err != nil {
			return err
		}
		auditLog, activity, disclosures := memory.NewAuditLog(audit.Config{}), memory.NewUserActivity(), &Disclosures{}
		if _, err := s.project(ctx, auditLog, activity, disclosures.Projection()); err != nil {
			return err
		}
		for position := range uint64(2) {
			fmt.Println(disclosures.lines[position+1])
		}
		return nil
	})
	// Output:
	// user:ann order.exported: success for "tax audit"
	// user:bob order.exported: denied for ""
}
