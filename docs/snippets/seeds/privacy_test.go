package seeds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
)

// An id that tells who somebody is can be found by lint, and kept out by a hook.
func Example_opaqueActors() {
	fmt.Println(len(event.User("ann@example.org").Lint()), len(event.User("7f3a0000-0000-4000-8000-000000000001").Lint()))
	run(func(ctx context.Context, s *shop) error {
		log, err := audit.NewLog(s.store, s.log, audit.LogConfig{Before: []audit.BeforeAppend{privacy.RequireOpaque()}})
		if err != nil {
			return err
		}
		_, err = log.Append(by(ctx, "ann@example.org"), audit.Draft{Action: "order.viewed", Entity: audit.Aggregate("Order", orderID)})
		fmt.Println(errors.Is(err, privacy.ErrNotOpaque))

		if err := s.create(by(ctx, "Ann Example"), orderID); err != nil { // events pass no hook
			return err
		}
		report, err := privacy.Lint(ctx, s.log)
		fmt.Println(report.Findings[0].Field, report.Findings[0].Like)
		return err
	})
	// Output:
	// 1 0
	// true
	// actor_id name
}

// Everything that the log says of a person goes into one file. It says whether
// it is whole, other people are masked, and the export is recorded.
func Example_exportOfAPerson() {
	run(func(ctx context.Context, s *shop) error {
		if err := s.aDay(ctx); err != nil {
			return err
		}
		var file bytes.Buffer
		ann := privacy.Subject{ActorIDs: []event.ActorID{event.User("ann")}, OwnerIDs: []string{"user:ann"}}
		trailer, err := privacy.Export(by(ctx, "officer"), &file, ann, privacy.ExportConfig{
			Records: s.log, Log: s.log, Events: s.store, Purpose: "request 2026-17", Now: s.clock.Now,
		})
		if err != nil {
			return err
		}
		fmt.Println(trailer.Records)
		export, err := privacy.ReadExport(&file)
		if err != nil {
			return err
		}
		fmt.Println(export.Header().ExportedAt)
		for entry, err := range export.Entries() {
			if err != nil {
				return err
			}
			fmt.Println(entry.Action, entry.ActorID, string(entry.Data))
		}
		_, whole := export.Trailer()
		fmt.Println("whole:", whole)
		for record, err := range s.log.ByAction(ctx, privacy.ExportedAction, audit.Page{}) {
			fmt.Println(record.Action(), "by", record.ActorID(), err)
		}
		return nil
	})
	// Output:
	// 2
	// 2026-05-04 09:15:00 +0000 UTC
	// order.created user:ann {"customer":"user:ann","cents":9900}
	// order.created user:ann {"customer":"user:ann","cents":9900}
	// whole: true
	// personal_data.exported by user:officer <nil>
}

// Old events are copied into files that are checked, and searched like the log.
func Example_archiveOldEvents() {
	inFolder(func(ctx context.Context, s *shop, folder string) error {
		if err := s.create(by(ctx, "ann"), orderID); err != nil {
			return err
		}
		s.clock.pass(400 * 24 * time.Hour)
		if err := s.ship(by(ctx, "bob"), orderID); err != nil {
			return err
		}
		lastYear := s.clock.at.Add(-365 * 24 * time.Hour)
		written, err := archive.Write(ctx, s.store, archive.Dir(folder), archive.Config{RecordedBefore: lastYear})
		if err != nil {
			return err
		}
		fmt.Println("archived:", written.Events)
		report, err := archive.Verify(ctx, os.DirFS(folder))
		if err != nil {
			return err
		}
		fmt.Println("damaged:", len(report.Damage))
		old, err := archive.Open(ctx, os.DirFS(folder))
		if err != nil {
			return err
		}
		return errors.Join(show(old.Records(audit.Config{}).ByActor(ctx, event.User("ann"), audit.Page{})), old.Close())
	})
	// Output:
	// archived: 1
	// damaged: 0
	// 09:15:00 #1 user:ann triggered OrderCreated on Order
}

// Nothing is deleted: what says whose token it is can be cut.
func Example_pseudonyms() {
	run(func(ctx context.Context, s *shop) error {
		people := s.store.Pseudonyms()
		token, err := people.TokenFor(ctx, "", "ann@example.org") // at log-in, say
		if err != nil {
			return err
		}
		if err := s.create(event.WithActor(ctx, event.User(token.String())), orderID); err != nil {
			return err
		}
		officer, err := privacy.NewOfficer(privacy.Config{
			Pseudonyms: people, Holds: s.store.Holds(), Events: s.store, Records: s.log, Log: s.log, Now: s.clock.Now,
		})
		if err != nil {
			return err
		}
		_, err = officer.Cut(by(ctx, "officer"), "", "ann@example.org", "request 2026-18")
		if err != nil {
			return err
		}
		_, err = people.PersonOf(ctx, "", token)
		fmt.Println(errors.Is(err, privacy.ErrCut))
		for record, err := range s.log.Recent(ctx, audit.Page{OldestFirst: true}) {
			fmt.Println(record.Action(), err)
		}
		return nil
	})
	// Output:
	// true
	// order.created <nil>
	// pseudonym.cut <nil>
}

// How long what is kept is written down as a policy. A plan says what it would
// do; a run does that, and records it.
func Example_retentionPolicy() {
	inFolder(func(ctx context.Context, s *shop, folder string) error {
		people := s.store.Pseudonyms()
		token, err := people.TokenFor(ctx, "", "ann")
		if err != nil {
			return err
		}
		if err := s.create(event.WithActor(ctx, event.User(token.String())), orderID); err != nil {
			return err
		}
		s.clock.pass(3 * 365 * 24 * time.Hour)
		officer, err := privacy.NewOfficer(privacy.Config{
			Pseudonyms: people, Holds: s.store.Holds(), Events: s.store, Records: s.log, Log: s.log, Now: s.clock.Now,
		})
		if err != nil {
			return err
		}
		policy := privacy.Policy{Rules: []privacy.Rule{
			{Name: "events", Keep: 365 * 24 * time.Hour, Then: privacy.ThenArchive, Archive: archive.Dir(folder)},
			{Name: "people", Keep: 2 * 365 * 24 * time.Hour, Then: privacy.ThenCut},
		}}
		plan, err := officer.Plan(ctx, policy)
		if err != nil {
			return err
		}
		fmt.Println("would archive", plan.Rules[0].Events, "and cut", plan.Rules[1].Persons)
		done, err := officer.Run(event.WithActor(ctx, event.Cron("retention")), policy)
		fmt.Println("archived", done.Rules[0].Events, "and cut", done.Rules[1].Persons)
		return err
	})
	// Output:
	// would archive 1 and cut 1
	// archived 1 and cut 1
}
