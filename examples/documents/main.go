// Documents is the whole of evident in one small program: an aggregate, its
// events in SQLite, an audit log that a runner keeps up to date, and the proof
// that the audit log can be rebuilt from the events.
//
//	go run ./examples/documents
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/sqlite"
)

func main() {
	if err := inTemporaryFolder(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// inTemporaryFolder runs the program on a database that is gone afterwards.
func inTemporaryFolder(ctx context.Context, out io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "documents")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	return run(ctx, out, filepath.Join(folder, "documents.db"))
}

func run(ctx context.Context, out io.Writer, path string) (err error) {
	//docs:begin open
	config := sqlite.Config{Path: path}
	if err := sqlite.Migrate(ctx, config); err != nil {
		return err
	}
	store, err := sqlite.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	repo := aggregate.NewRepository[Document](store, documents)
	//docs:end open

	id, err := write(ctx, out, repo)
	if err != nil {
		return err
	}
	auditLog, err := project(ctx, store)
	if err != nil {
		return err
	}
	if err := show(ctx, out, auditLog, repo, id); err != nil {
		return err
	}
	return replay(ctx, out, store, auditLog)
}

// write lets alice create a document and bob edit it.
func write(ctx context.Context, out io.Writer, repo *aggregate.Repository[Document]) (uuid.UUID, error) {
	fmt.Fprintln(out, "=== User 'alice' creates a document ===")
	alice := event.WithActor(ctx, event.User("alice"))
	id := uuid.Must(uuid.NewV7())
	err := repo.Update(alice, id, func(d *Document) error {
		return d.Create(alice, "Meeting Notes", "Initial draft...")
	})
	if err != nil {
		return id, err
	}

	fmt.Fprintln(out, "=== User 'bob' edits the document ===")
	//docs:begin write
	bob := event.WithActor(ctx, event.User("bob"))
	err = repo.Update(bob, id, func(d *Document) error { // load, decide, append; again on conflict
		return d.Edit(bob, "Updated content by Bob...")
	})
	//docs:end write
	return id, err
}

// project brings the audit log up to date with the events.
func project(ctx context.Context, store *sqlite.Store) (*sqlite.AuditLog, error) {
	//docs:begin project
	auditLog := sqlite.NewAuditLog(store, audit.Config{})
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{auditLog},
	})
	if err != nil {
		return nil, err
	}
	err = runner.RunUntilCaughtUp(ctx) // a service calls Run, which goes on with new events
	//docs:end project
	return auditLog, err
}

// show answers who did what to the document, and what it is now.
func show(ctx context.Context, out io.Writer, auditLog *sqlite.AuditLog, repo *aggregate.Repository[Document], id uuid.UUID) error {
	fmt.Fprintln(out, "\n=== Audit Log ===")
	//docs:begin show
	for record, err := range auditLog.ByEntity(ctx, audit.Aggregate("Document", id), audit.Page{OldestFirst: true}) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %s: %s -> %s\n", record.OccurredAt().Format("2006-01-02T15:04:05"), record.ActorID(), record.Origin().EventType)
	}
	//docs:end show

	d, err := repo.Load(ctx, id)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\n=== Document State ===")
	fmt.Fprintln(out, "  Title:", d.State().Title)
	fmt.Fprintln(out, "  Created by:", d.State().CreatedBy)
	fmt.Fprintln(out, "  Last edited by:", d.State().EditedBy)
	return nil
}

// replay builds a second audit log, in memory, from the first event on, and
// compares it with the stored one.
func replay(ctx context.Context, out io.Writer, store *sqlite.Store, stored *sqlite.AuditLog) error {
	//docs:begin replay
	progress, err := memory.Open(ctx, memory.Config{}) // forgotten with the log that it belongs to
	if err != nil {
		return err
	}
	fresh := memory.NewAuditLog(audit.Config{})
	runner, err := projection.NewRunner(store, projection.Config{
		Projections: []projection.Projection{fresh},
		Progress:    progress,
	})
	if err != nil {
		return err
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		return err
	}
	//docs:end replay
	comparison, err := audit.Compare(ctx, stored, fresh, 10)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\n=== Replay ===")
	fmt.Fprintln(out, " ", comparison)
	return nil
}
