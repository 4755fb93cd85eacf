package snippets_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// auditedBank is a bank with a log and feeds that have caught up.
func auditedBank(ctx context.Context, b *bank) (*memory.AuditLog, *memory.UserActivity, error) {
	store := b.store
	ctx = event.WithActor(ctx, event.User("alice"))
	ctx = event.WithMetadata(ctx, event.Metadata{audit.KeyOwner: "alice", audit.KeyPurpose: "rent"})
	if err := b.repo.Update(ctx, aliceID, func(a *Account) error { return a.Withdraw(ctx, 30) }); err != nil {
		return nil, nil, err
	}
	//docs:begin project
	auditLog := memory.NewAuditLog(audit.Config{})
	activity := memory.NewUserActivity()
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{auditLog, activity},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil { // a service calls Run, which follows new events
		return nil, nil, err
	}
	//docs:end project
	return auditLog, activity, nil
}

// audited runs an example at an audited bank.
func audited(example func(ctx context.Context, b *bank, log *memory.AuditLog, activity *memory.UserActivity) error) {
	run(func(ctx context.Context, b *bank) error {
		log, activity, err := auditedBank(ctx, b)
		if err != nil {
			return err
		}
		return example(ctx, b, log, activity)
	})
}

func Example_auditQueries() {
	audited(func(ctx context.Context, _ *bank, auditLog *memory.AuditLog, _ *memory.UserActivity) error {
		//docs:begin queries
		history := auditLog.ByAggregate(ctx, aliceID, audit.Page{OldestFirst: true})
		for record, err := range history {
			if err != nil {
				return err
			}
			fmt.Println(record.Position(), record.ActorID(), record.Action())
		}
		//docs:end queries
		//docs:begin find
		// Conditions are combined with "and".
		query := audit.Query{ActorID: event.User("alice"), Action: "account.withdrawn", Page: audit.Page{Limit: 10}}
		for record, err := range auditLog.Find(ctx, query) {
			if err != nil {
				return err
			}
			fmt.Println(record)
		}
		//docs:end find
		return nil
	})
	// Output:
	// 1 user:teller account.opened
	// 2 user:teller account.deposited
	// 4 user:alice account.withdrawn
	// #4 user:alice triggered Withdrawn on Account
}

func Example_auditPages() {
	audited(func(ctx context.Context, _ *bank, auditLog *memory.AuditLog, _ *memory.UserActivity) error {
		//docs:begin pages
		page := audit.Page{Limit: 3} // most recent first
		for record, err := range auditLog.Recent(ctx, page) {
			if err != nil {
				return err
			}
			fmt.Print(record.Position(), " ")
			page.Before = record.Position() // where the next page begins
		}
		//docs:end pages
		fmt.Println("| next page")
		for record, err := range auditLog.Recent(ctx, page) {
			if err != nil {
				return err
			}
			fmt.Println(record.Position())
		}
		return nil
	})
	// Output:
	// 4 3 2 | next page
	// 1
}

func Example_activity() {
	audited(func(ctx context.Context, _ *bank, _ *memory.AuditLog, activity *memory.UserActivity) error {
		//docs:begin activity
		for a, err := range activity.ByActor(ctx, event.User("alice"), audit.Page{}) {
			if err != nil {
				return err
			}
			fmt.Println(a.Position, a.EventType)
		}
		for actor, err := range activity.FindActors(ctx, audit.ActivityQuery{}) {
			if err != nil {
				return err
			}
			fmt.Println(actor.ActorID, actor.Count)
		}
		//docs:end activity
		return nil
	})
	// Output:
	// 4 Withdrawn
	// user:alice 1
	// user:teller 3
}

func Example_auditReplay() {
	audited(func(ctx context.Context, b *bank, auditLog *memory.AuditLog, _ *memory.UserActivity) error {
		store := b.store
		//docs:begin compare
		head, err := store.Head(ctx) // the log has caught up; else its checkpoint
		if err != nil {
			return err
		}
		comparison, err := audit.Verify(ctx, auditLog, store, audit.Config{}, head, 10)
		if err != nil {
			return err
		}
		fmt.Println(comparison)
		//docs:end compare
		return nil
	})
	// Output:
	// 4 compared, all equal
}

func Example_auditTenants() {
	audited(func(ctx context.Context, _ *bank, auditLog *memory.AuditLog, _ *memory.UserActivity) error {
		//docs:begin tenants
		view := auditLog.ForTenant("acme") // or RequireTenant: that of each call's context
		for _, err := range view.Find(ctx, audit.Query{TenantID: "other"}) {
			fmt.Println(err) // an *eventstore.TenantError
		}
		//docs:end tenants
		for record, err := range auditLog.ForTenant("acme").Recent(ctx, audit.Page{}) {
			fmt.Println("not reached, since these events belong to no tenant:", record, err)
		}
		_, err := view.Get(ctx, event.NewID())
		fmt.Println(errors.Is(err, audit.ErrNotFound))
		return nil
	})
	// Output:
	// tenant "other" asked for at a store that is bound to tenant "acme"
	// true
}

func Example_auditTrace() {
	run(func(ctx context.Context, b *bank) error {
		auditLog := audit.Replay(b.store, audit.Config{})
		chain := aliceID
		ctx = event.WithCorrelation(event.WithActor(ctx, event.User("alice")), chain)
		if err := b.repo.Update(ctx, aliceID, func(a *Account) error { return a.Withdraw(ctx, 30) }); err != nil {
			return err
		}
		withdrawn, err := last(ctx, b)
		if err != nil {
			return err
		}
		next := event.WithActor(event.WithCause(ctx, withdrawn), event.System("transfer"))
		if err := b.repo.Update(next, bobID, func(a *Account) error { return a.Deposit(next, 30) }); err != nil {
			return err
		}
		//docs:begin trace
		tree, err := audit.Trace(ctx, auditLog, chain)
		if err != nil {
			return err
		}
		fmt.Print(tree)
		//docs:end trace
		return nil
	})
	// Output:
	// correlation 01900000-0000-7000-8000-00000000000a: 2 records
	// └── Withdrawn by user:alice on Account/01900000-0000-7000-8000-00000000000a
	//     └── Deposited by system:transfer on Account/01900000-0000-7000-8000-00000000000b
}
