package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

type taskCreated struct{}

func (taskCreated) EventType() string { return "TaskCreated" }

// The audit log in the store's own file is filled exactly once, and can be
// rebuilt from the events at any time.
func ExampleNewAuditLog() {
	folder, err := os.MkdirTemp("", "evident")
	if err != nil {
		fmt.Println(err)
		return
	}
	err = errors.Join(auditTasks(context.Background(), filepath.Join(folder, "tasks.db")), os.RemoveAll(folder))
	if err != nil {
		fmt.Println(err)
	}

	// Output:
	// #2 user:bob triggered TaskCreated on Task
	// #1 user:alice triggered TaskCreated on Task
	// 2 compared, all equal
}

func auditTasks(ctx context.Context, path string) error {
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, config)
	if err != nil {
		return err
	}
	for _, name := range []string{"alice", "bob"} {
		e, err := event.New(event.WithActor(ctx, event.User(name)), taskCreated{})
		if err != nil {
			return err
		}
		stream := eventstore.Stream{AggregateType: "Task", AggregateID: uuid.New()}
		if _, err := store.Append(ctx, eventstore.Append{Stream: stream, Events: []event.Event{e}}); err != nil {
			return err
		}
	}

	auditLog := sqlite.NewAuditLog(store, audit.Config{})
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

	if err := runner.Rebuild(ctx, auditLog.Name()); err != nil {
		return err
	}
	comparison, err := audit.Compare(ctx, auditLog, audit.Replay(store, audit.Config{}), 10)
	fmt.Println(comparison)
	return errors.Join(err, store.Close())
}
