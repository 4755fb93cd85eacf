package snippets_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

func Example_activities() {
	run(func(ctx context.Context, b *bank) error {
		store := b.store
		//docs:begin open
		records := audit.Replay(store, audit.Config{}) // or a home that a runner feeds: sqlite.NewAuditLog(store, audit.Config{})
		log, err := audit.NewLog(store, records, audit.LogConfig{})
		if err != nil {
			return err
		}
		//docs:end open
		//docs:begin append
		ctx = event.WithActor(ctx, event.User("alice")) // a service's middleware does this
		receipt, err := log.Append(ctx, audit.Draft{
			Action:   "account.exported",
			Entity:   audit.Aggregate("Account", aliceID),
			OwnerID:  "user:alice",
			Purpose:  "tax return",
			Metadata: event.Metadata{"format": "csv", "rows": 12},
		})
		if err != nil {
			return err
		}
		fmt.Println("stored at position", receipt.Position)
		//docs:end append
		//docs:begin denied
		_, err = log.Append(ctx, audit.Draft{
			Action:  "account.withdrawn",
			Entity:  audit.Aggregate("Account", bobID),
			Outcome: audit.Denied,
			Reason:  "not the owner",
		})
		//docs:end denied
		if err != nil {
			return err
		}
		//docs:begin atomic
		err = b.repo.Update(ctx, aliceID, func(a *Account) error {
			if err := a.Withdraw(ctx, 30); err != nil {
				return err
			}
			_, err := log.AppendWith(ctx, a, audit.Draft{
				Action: "withdraw_cash", Entity: audit.Aggregate("Account", aliceID), Metadata: event.Metadata{"atm": "Main Street"},
			})
			return err
		})
		//docs:end atomic
		if err != nil {
			return err
		}
		for record, err := range log.ByActor(ctx, event.User("alice"), audit.Page{OldestFirst: true}) {
			if err != nil {
				return err
			}
			fmt.Println(record.Position(), record.Action(), record.Outcome())
		}
		return nil
	})
	// Output:
	// stored at position 4
	// 4 account.exported success
	// 5 account.withdrawn denied
	// 6 account.withdrawn success
	// 7 withdraw_cash success
}

func Example_activitiesAgain() {
	run(func(ctx context.Context, b *bank) error {
		log, err := audit.NewLog(b.store, audit.Replay(b.store, audit.Config{}), audit.LogConfig{})
		if err != nil {
			return err
		}
		//docs:begin again
		draft := audit.Draft{ID: event.NewID(), Action: "report.printed", Entity: audit.EntityRef{Type: "Report", ID: "2026-11"}}
		for range 2 { // the answer to the first was lost, say
			receipt, err := log.Append(ctx, draft)
			if err != nil {
				return err
			}
			fmt.Println("replayed:", receipt.Replayed)
		}
		draft.Action = "report.deleted"
		_, err = log.Append(ctx, draft)
		fmt.Println(errors.Is(err, audit.ErrImmutable))
		//docs:end again
		return nil
	})
	// Output:
	// replayed: false
	// replayed: true
	// true
}

func Example_activityHooks() {
	run(func(ctx context.Context, b *bank) error {
		store, records := b.store, audit.Replay(b.store, audit.Config{})
		//docs:begin hooks
		redaction, err := audit.NewRedaction(audit.RedactConfig{
			Rules:     map[string]audit.Treatment{"format": audit.Keep, "iban": audit.Mask},
			Otherwise: audit.Drop, // a list of what is allowed
		})
		if err != nil {
			return err
		}
		log, err := audit.NewLog(store, records, audit.LogConfig{
			Before: []audit.BeforeAppend{redaction.BeforeAppend, purposeOfExports},
			After:  []audit.AfterAppend{alarmSecurity},
			Report: func(_ context.Context, err error) { fmt.Println(err) },
		})
		if err != nil {
			return err
		}
		//docs:end hooks
		export := audit.Draft{Action: "account.exported", Entity: audit.Aggregate("Account", aliceID)}
		_, err = log.Append(ctx, export)
		fmt.Println(err)
		export.Purpose, export.Outcome = "audit", audit.Denied
		export.Metadata = event.Metadata{"format": "csv", "iban": "DE02 1203 0000", "note": "call her"}
		receipt, err := log.Append(ctx, export)
		if err != nil {
			return err
		}
		fmt.Println(receipt.Records[0].Metadata())
		return nil
	})
	// Output:
	// append activity: account.exported: refused by before-append hook 1: an export needs a purpose
	// alarm: account.exported by anonymous
	// map[format:csv iban:[redacted]]
}

//docs:begin veto
func purposeOfExports(_ context.Context, draft *audit.Draft) error {
	if draft.Action == "account.exported" && draft.Purpose == "" {
		return errors.New("an export needs a purpose")
	}
	return nil
}

//docs:end veto

//docs:begin after
func alarmSecurity(_ context.Context, record audit.ActivityRecord) error {
	if record.Outcome() == audit.Denied {
		fmt.Println("alarm:", record.Action(), "by", record.ActorID())
	}
	return nil
}

//docs:end after
