package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/sqlite"
)

// inFolder runs an example with a folder that is gone afterwards.
func inFolder(example func(ctx context.Context, folder string) error) {
	folder, err := os.MkdirTemp("", "evident")
	if err == nil {
		err = errors.Join(example(context.Background(), folder), os.RemoveAll(folder))
	}
	if err != nil {
		fmt.Println("error:", err)
	}
}

func Example_openSQLite() {
	inFolder(openSQLite)
	// Output:
	// missing: true
	// opened: true
}

func openSQLite(ctx context.Context, folder string) (err error) {
	path := filepath.Join(folder, "bank.db")
	_, err = sqlite.Open(ctx, sqlite.Config{Path: path})
	fmt.Println("missing:", errors.Is(err, eventstore.ErrSchema))
	//docs:begin open
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil { // creates the file, or brings it up to date
		return err
	}
	store, err := sqlite.Open(ctx, config) // never changes the schema
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	//docs:end open
	head, err := store.Head(ctx)
	fmt.Println("opened:", err == nil && head == 0)
	return err
}

func Example_backup() {
	inFolder(backup)
	// Output:
	// events in the copy: 2
	// the same history: true
}

func backup(ctx context.Context, folder string) (err error) {
	store, err := sqliteBank(ctx, filepath.Join(folder, "bank.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	path := filepath.Join(folder, "copy.db")
	//docs:begin backup
	// A consistent copy of a store that is in use. The file must not exist yet.
	if _, err := store.DB().ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return err
	}
	//docs:end backup
	//docs:begin restore
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil { // a copy is not in WAL mode yet
		return err
	}
	restored, err := sqlite.Open(ctx, config)
	//docs:end restore
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restored.Close()) }()
	head, err := restored.Head(ctx)
	fmt.Println("events in the copy:", head)
	fmt.Println("the same history:", restored.ID() == store.ID())
	return err
}

// sqliteBank opens a file in which alice has an account with 100 cents.
func sqliteBank(ctx context.Context, path string) (*sqlite.Store, error) {
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return nil, err
	}
	store, err := sqlite.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	repo := aggregate.NewRepository[Account](store, accounts)
	ctx = event.WithActor(ctx, event.User("teller"))
	err = repo.Update(ctx, aliceID, func(a *Account) error {
		return errors.Join(a.Open(ctx, "alice"), a.Deposit(ctx, 100))
	})
	return store, err
}

func Example_tenants() {
	run(tenants)
	// Output:
	// acme: <nil>
	// other: true
	// nobody: true
}

func tenants(ctx context.Context, b *bank) error {
	store := b.store
	//docs:begin tenants
	bound := eventstore.RequireTenant(store) // the tenant of each call's context, or nothing
	repo := aggregate.NewRepository[Account](bound, accounts)

	acme := event.WithTenant(ctx, "acme")
	err := repo.Update(acme, aliceID, func(a *Account) error { return a.Open(acme, "alice") })
	fmt.Println("acme:", err)

	_, err = repo.Load(event.WithTenant(ctx, "other"), aliceID) // another stream, which does not exist
	fmt.Println("other:", errors.Is(err, aggregate.ErrNotFound))

	_, err = repo.Load(ctx, aliceID) // no tenant: refused
	fmt.Println("nobody:", errors.Is(err, eventstore.ErrTenant))
	//docs:end tenants
	return nil
}

func Example_sendAgain() {
	run(sendAgain)
	// Output:
	// true
}

func sendAgain(ctx context.Context, b *bank) error {
	store := b.store
	e, err := event.New(ctx, Deposited{Cents: 1})
	if err != nil {
		return err
	}
	//docs:begin send-again
	deposit := eventstore.Append{
		Stream:   eventstore.Stream{AggregateType: "Account", AggregateID: aliceID},
		Expected: eventstore.Exact(2),
		Events:   []event.Event{e},
	}
	first, err := store.Append(ctx, deposit)
	if err != nil {
		return err
	}
	again, err := store.Append(ctx, deposit) // the answer was lost, so it is sent again
	if err != nil {
		return err
	}
	fmt.Println(first.Position == again.Position) // stored once
	//docs:end send-again
	return nil
}

func Example_errorsOfStores() {
	run(storeErrors)
	// Output:
	// decide again
}

func storeErrors(ctx context.Context, b *bank) error {
	e, err := event.New(ctx, Deposited{Cents: 1})
	if err != nil {
		return err
	}
	_, err = b.store.Append(ctx, eventstore.Append{
		Stream:   eventstore.Stream{AggregateType: "Account", AggregateID: aliceID},
		Expected: eventstore.NoStream(), Events: []event.Event{e},
	})
	//docs:begin errors
	switch {
	case err == nil:
		fmt.Println("stored")
	case errors.Is(err, eventstore.ErrConflict):
		fmt.Println("decide again")
	case eventstore.IsRetryable(err):
		fmt.Println("send the same again later")
	default:
		return err
	}
	//docs:end errors
	return nil
}
