package postgres_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// ExampleNewProjection keeps a table of titles in the store's own database.
func ExampleNewProjection() {
	err := withExampleStore([]string{"Minutes", "Agenda"}, func(ctx context.Context, store *postgres.Store) error {
		titles := postgres.NewProjection("titles", 1,
			postgres.Table("titles", "id uuid PRIMARY KEY, title text NOT NULL"),
			postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[created]) error {
				_, err := tx.Exec(ctx, "INSERT INTO titles (id, title) VALUES ($1, $2)", e.AggregateID, e.Payload.Title)
				return err
			}),
		)
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{titles}})
		if err != nil {
			return err
		}
		if err := runner.RunUntilCaughtUp(ctx); err != nil {
			return err
		}
		var first string
		err = store.Pool().QueryRow(ctx, "SELECT title FROM titles ORDER BY title").Scan(&first)
		fmt.Println(first)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: Agenda
}

// ExampleOnBatch writes a row for each event, all those of a batch by one COPY.
func ExampleOnBatch() {
	err := withExampleStore([]string{"Minutes", "Agenda", "Report"}, func(ctx context.Context, store *postgres.Store) error {
		types := postgres.NewProjection("types", 1,
			postgres.Table("types", "position bigint PRIMARY KEY, type text NOT NULL"),
			postgres.OnBatch(func(ctx context.Context, tx pgx.Tx, events []event.Event) error {
				rows := pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
					return []any{events[i].Position, events[i].Type}, nil
				})
				copied, err := tx.CopyFrom(ctx, pgx.Identifier{"types"}, []string{"position", "type"}, rows)
				fmt.Println(copied, "rows at once")
				return err
			}),
		)
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{types}})
		if err != nil {
			return err
		}
		return runner.RunUntilCaughtUp(ctx)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: 3 rows at once
}

// Both are kept, or neither is: the event, and the invoice in a table of the
// program's own.
func ExampleStore_Atomically() {
	err := withExampleStore(nil, func(ctx context.Context, store *postgres.Store) error {
		if _, err := store.Pool().Exec(ctx, "CREATE TABLE invoices (number text PRIMARY KEY)"); err != nil {
			return err
		}
		issue := func(number string) error {
			return store.Atomically(ctx, func(ctx context.Context, tx pgx.Tx, events eventstore.Store) error {
				e, err := event.New(ctx, created{Title: number})
				if err != nil {
					return err
				}
				invoice := eventstore.Stream{AggregateType: "Invoice", AggregateID: uuid.New()}
				if _, err := events.Append(ctx, eventstore.Append{Stream: invoice, Events: []event.Event{e}}); err != nil {
					return err
				}
				_, err = tx.Exec(ctx, "INSERT INTO invoices (number) VALUES ($1)", number)
				return err
			})
		}
		fmt.Println("kept:", issue("2024-1") == nil)
		fmt.Println("kept:", issue("2024-1") == nil) // the number is taken
		head, err := store.Head(ctx)
		fmt.Println("events:", head)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// kept: true
	// kept: false
	// events: 1
}

// The audit log in the store's own schema is filled exactly once, and can be
// rebuilt from the events at any time.
func ExampleNewAuditLog() {
	err := withExampleStore([]string{"Minutes", "Agenda"}, func(ctx context.Context, store *postgres.Store) error {
		auditLog := postgres.NewAuditLog(store, audit.Config{})
		runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{auditLog}})
		if err != nil {
			return err
		}
		if err := runner.RunUntilCaughtUp(ctx); err != nil {
			return err
		}
		for record, err := range auditLog.Recent(ctx, audit.Page{Limit: 10}) {
			if err != nil {
				return err
			}
			fmt.Println(record)
		}
		comparison, err := audit.Compare(ctx, auditLog, audit.Replay(store, audit.Config{}), 10)
		fmt.Println(comparison)
		return err
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// #2 user:ada triggered Created on Document
	// #1 user:ada triggered Created on Document
	// 2 compared, all equal
}

// exampleTitles is a read model in two versions. Readers know the view.
//
//docs:begin titles
func exampleTitles(version int) *postgres.Projection {
	table := fmt.Sprintf("titles_v%d", version) // each version has tables of its own
	return postgres.NewProjection("titles", version,
		postgres.Table(table, "id uuid PRIMARY KEY, title text NOT NULL, letters int NOT NULL"),
		postgres.Index(fmt.Sprintf("CREATE INDEX %s_by_title ON %[1]s (title)", table)), // when it has caught up
		postgres.View("titles", "SELECT id, title, letters FROM "+table),
		postgres.On(func(ctx context.Context, tx pgx.Tx, e event.Of[created]) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+table+" (id, title, letters) VALUES ($1, $2, $3)",
				e.AggregateID, e.Payload.Title, len(e.Payload.Title)*min(1, version-1)) // the first version did not count
			return err
		}),
	)
}

//docs:end titles

// A read model that is never late gets a new version while the old one is read.
func ExampleDeployInline() {
	err := withExampleStore([]string{"Minutes", "Agenda"}, func(ctx context.Context, store *postgres.Store) error {
		config := postgres.Config{Pool: store.Pool(), Relaxed: true}
		for version := range 2 {
			//docs:begin deploy-inline
			config.Inline = []projection.Projection{exampleTitles(version + 1)}
			if err := postgres.DeployInline(ctx, config); err != nil { // again, and it goes on where it was
				return err
			}
			//docs:end deploy-inline
			if err := printTitles(ctx, store); err != nil {
				return err
			}
		}
		//docs:begin drop-targets
		tx, err := store.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }()
		if own, ok := projection.TxAs[*postgres.Tx](tx); ok {
			err = own.DropTargets(ctx, "titles", 1) // when nobody will go back to it
		}
		if err := errors.Join(err, tx.Commit(ctx)); err != nil {
			return err
		}
		//docs:end drop-targets
		//docs:begin rebuild-inline
		if err := postgres.RebuildInline(ctx, config, "titles"); err != nil {
			return err
		}
		//docs:end rebuild-inline
		return printTitles(ctx, store)
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// Agenda 0, Minutes 0
	// Agenda 6, Minutes 7
	// Agenda 6, Minutes 7
}

func printTitles(ctx context.Context, store *postgres.Store) error {
	var titles string
	err := store.Pool().QueryRow(ctx, "SELECT string_agg(title || ' ' || letters, ', ' ORDER BY title) FROM titles").Scan(&titles)
	fmt.Println(titles)
	return err
}

// withExampleStore calls f with a store, on a server that is started for it,
// with one document for each title.
func withExampleStore(titles []string, f func(ctx context.Context, store *postgres.Store) error) (err error) {
	ctx := event.WithActor(context.Background(), event.User("ada"))
	server, err := pgtest.Start(ctx, pgtest.Unsafe())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	config := postgres.Config{URL: server.URL(), Relaxed: true}
	if err := postgres.Migrate(ctx, config); err != nil {
		return err
	}
	store, err := postgres.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, title := range titles {
		e, err := event.New(ctx, created{Title: title})
		if err != nil {
			return err
		}
		document := eventstore.Stream{AggregateType: "Document", AggregateID: uuid.New()}
		if _, err := store.Append(ctx, eventstore.Append{Stream: document, Events: []event.Event{e}}); err != nil {
			return err
		}
	}
	return f(ctx, store)
}
