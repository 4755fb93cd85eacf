package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

// Example stores an event in a file and reads it back.
func Example() {
	ctx := event.WithActor(context.Background(), event.User("ada"))
	folder, err := os.MkdirTemp("", "evident")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()

	config := sqlite.Config{Path: filepath.Join(folder, "documents.db")}
	if err := sqlite.Migrate(ctx, config); err != nil {
		fmt.Println(err)
		return
	}
	store, err := sqlite.Open(ctx, config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()

	e, err := event.New(ctx, created{Title: "Minutes"})
	if err != nil {
		fmt.Println(err)
		return
	}
	document := eventstore.Stream{AggregateType: "Document", AggregateID: uuid.New()}
	result, err := store.Append(ctx, eventstore.Append{Stream: document, Expected: eventstore.NoStream(), Events: []event.Event{e}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("position", result.Position, "version", result.Versions[0])
	for e, err := range store.ReadStream(ctx, document, eventstore.StreamQuery{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.AggregateVersion, e.Type, e.ActorID, string(e.Data))
	}
	// Output:
	// position 1 version 1
	// 1 Created user:ada {"title":"Minutes"}
}

// ExampleNewProjection keeps a table of titles in the store's own file.
func ExampleNewProjection() {
	ctx := context.Background()
	store, remove, err := exampleStore(ctx, "Minutes", "Agenda")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()

	titles := sqlite.NewProjection("titles", 1,
		sqlite.Table("titles", "id BLOB PRIMARY KEY, title TEXT NOT NULL"),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[created]) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO titles (id, title) VALUES (?, ?)", e.AggregateID[:], e.Payload.Title)
			return err
		}),
	)
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{titles}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		fmt.Println(err)
		return
	}

	var first string
	if err := store.DB().QueryRowContext(ctx, "SELECT title FROM titles ORDER BY title").Scan(&first); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first)
	// Output: Agenda
}

// exampleStore returns a store with one document for each title.
func exampleStore(ctx context.Context, titles ...string) (store *sqlite.Store, remove func(), err error) {
	folder, err := os.MkdirTemp("", "evident")
	if err != nil {
		return nil, nil, err
	}
	config := sqlite.Config{Path: filepath.Join(folder, "documents.db")}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return nil, nil, err
	}
	if store, err = sqlite.Open(ctx, config); err != nil {
		return nil, nil, err
	}
	for _, title := range titles {
		e, err := event.New(ctx, created{Title: title})
		if err != nil {
			return nil, nil, err
		}
		document := eventstore.Stream{AggregateType: "Document", AggregateID: uuid.New()}
		if _, err := store.Append(ctx, eventstore.Append{Stream: document, Events: []event.Event{e}}); err != nil {
			return nil, nil, err
		}
	}
	return store, func() { _ = store.Close(); _ = os.RemoveAll(folder) }, nil
}
