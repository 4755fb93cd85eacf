package snippets_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/archive"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

// privateBank is a store with a log and an officer, and a customer of the bank.
func privateBank(ctx context.Context, now func() time.Time) (*memory.Store, *audit.Log, *privacy.Officer, uuid.UUID, error) {
	store, err := memory.Open(ctx, memory.Config{Now: now})
	if err != nil {
		return nil, nil, nil, uuid.Nil, err
	}
	//docs:begin pseudonyms
	people := store.Pseudonyms() // or those of another store, with other readers and other backups
	token, err := people.TokenFor(ctx, "acme", "jane@example.com")
	if err != nil {
		return nil, nil, nil, uuid.Nil, err
	}
	ctx = event.WithActor(ctx, event.User(token.String())) // this is what events say
	//docs:end pseudonyms
	//docs:begin officer
	records := audit.Replay(store, audit.Config{}) // or a home that has caught up
	log, err := audit.NewLog(store, records, audit.LogConfig{
		Before: []audit.BeforeAppend{privacy.RequireOpaque()}, // refuses ids that tell who somebody is
	})
	if err != nil {
		return nil, nil, nil, uuid.Nil, err
	}
	officer, err := privacy.NewOfficer(privacy.Config{
		Pseudonyms: people, Holds: store.Holds(), Events: store, Records: records, Log: log, Now: now,
	})
	//docs:end officer
	if err != nil {
		return nil, nil, nil, uuid.Nil, err
	}
	_, err = log.Append(ctx, audit.Draft{
		TenantID: "acme", OwnerID: token.String(), Action: "account.opened", Entity: audit.EntityRef{Type: "Account", ID: "17"},
	})
	return store, log, officer, token, err
}

func private(example func(ctx context.Context, store *memory.Store, log *audit.Log, officer *privacy.Officer, token uuid.UUID) error) {
	now := aTime
	ctx := context.Background()
	store, log, officer, token, err := privateBank(ctx, func() time.Time { return now })
	if err == nil {
		now = now.AddDate(2, 0, 0)
		err = example(event.WithActor(ctx, event.User("officer-1")), store, log, officer, token)
	}
	if err != nil {
		fmt.Println("error:", err)
	}
}

func Example_privacyExport() {
	private(func(ctx context.Context, store *memory.Store, log *audit.Log, _ *privacy.Officer, token uuid.UUID) error {
		var w bytes.Buffer
		//docs:begin export
		person := privacy.SubjectOf("acme", token)
		person.Entities = []audit.EntityRef{{Type: "Account", ID: "17"}} // what is about them
		_, err := privacy.Export(ctx, &w, person, privacy.ExportConfig{
			Records: log, Log: log, Events: store, Purpose: "request 17",
		})
		if err != nil {
			return err
		}
		//docs:end export
		//docs:begin read-export
		export, err := privacy.ReadExport(&w)
		if err != nil {
			return err
		}
		for entry, err := range export.Entries() {
			if err != nil {
				return err // damaged, or cut
			}
			fmt.Println(entry.Action, entry.Sections)
		}
		//docs:end read-export
		return nil
	})
	// Output:
	// account.opened [acted owned subject]
}

func Example_privacyCut() {
	private(func(ctx context.Context, store *memory.Store, _ *audit.Log, officer *privacy.Officer, token uuid.UUID) error {
		//docs:begin hold
		hold, err := officer.Place(ctx, uuid.Nil, privacy.Scope{TenantID: "acme", Person: token}, "case 4")
		if err != nil {
			return err
		}
		_, err = officer.Cut(ctx, "acme", "jane@example.com", "request 17") // a *privacy.HeldError
		//docs:end hold
		fmt.Println(err != nil)
		if _, err := officer.Release(ctx, "acme", hold.ID, "case 4 is closed"); err != nil {
			return err
		}
		//docs:begin cut
		cut, err := officer.Cut(ctx, "acme", "jane@example.com", "request 17")
		if err != nil {
			return err
		}
		_, err = store.Pseudonyms().PersonOf(ctx, "acme", cut) // a *privacy.CutError: nobody can tell any more
		//docs:end cut
		fmt.Println(cut == token, err != nil)
		return nil
	})
	// Output:
	// true
	// true true
}

func Example_privacyRetention() {
	private(func(ctx context.Context, _ *memory.Store, log *audit.Log, officer *privacy.Officer, _ uuid.UUID) error {
		folder, err := os.MkdirTemp("", "archive")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(folder) }()
		//docs:begin retention
		const year = 365 * 24 * time.Hour
		policy := privacy.Policy{Rules: []privacy.Rule{
			{Name: "old events", Keep: year, Then: privacy.ThenArchive, Archive: archive.Dir(folder)},
			{Name: "people", Keep: year, Then: privacy.ThenCut},
			{Name: "people who paid", Action: "payment.*", Keep: 10 * year, Then: privacy.ThenCut}, // kept longer
		}}
		plan, err := officer.Plan(ctx, policy) // what Run would do
		if err != nil {
			return err
		}
		for _, rule := range plan.Rules {
			fmt.Println(rule.Rule, "-", rule.Events, "events,", rule.Persons, "persons,", rule.Held, "held")
		}
		_, err = officer.Run(ctx, policy)
		//docs:end retention
		if err != nil {
			return err
		}
		//docs:begin archive
		old, err := archive.Open(ctx, archive.Dir(folder))
		if err != nil {
			return err
		}
		for record, err := range old.Records(audit.Config{}).ByAction(ctx, "account.opened", audit.Page{}) {
			if err != nil {
				return err
			}
			fmt.Println(record.Position(), record.Action(), record.Entity())
		}
		report, err := archive.Verify(ctx, archive.Dir(folder))
		fmt.Println(report.Files, "file,", report.Events, "event,", err)
		//docs:end archive
		//docs:begin lint
		found, err := privacy.Lint(ctx, log)
		if err != nil {
			return err
		}
		fmt.Println("clean:", found.IsClean())
		//docs:end lint
		return nil
	})
	// Output:
	// old events - 1 events, 0 persons, 0 held
	// people - 0 events, 1 persons, 0 held
	// people who paid - 0 events, 0 persons, 0 held
	// 1 account.opened Account/17
	// 1 file, 1 event, <nil>
	// clean: true
}
