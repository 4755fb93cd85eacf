package audit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

type DocumentCreated struct {
	Title string `json:"title"`
}

func (DocumentCreated) EventType() string { return "DocumentCreated" }

type DocumentEdited struct {
	Content string `json:"content"`
}

func (DocumentEdited) EventType() string { return "DocumentEdited" }

type EditorNotified struct{}

func (EditorNotified) EventType() string { return "EditorNotified" }

var (
	notes = eventstore.Stream{AggregateType: "Document", AggregateID: uuid.MustParse("01900000-0000-7000-8000-00000000000d")}
	inbox = eventstore.Stream{AggregateType: "Inbox", AggregateID: uuid.MustParse("01900000-0000-7000-8000-00000000000f")}
)

// write stores an event of an actor and returns it.
func write(ctx context.Context, store eventstore.Store, stream eventstore.Stream, actor event.ActorID, payload event.Payload) (event.Event, error) {
	e, err := event.New(event.WithActor(ctx, actor), payload)
	if err != nil {
		return event.Event{}, err
	}
	_, err = store.Append(ctx, eventstore.Append{Stream: stream, Events: []event.Event{e}})
	return e, err
}

// story is what the examples are about: alice creates a document, bob edits
// it, and a service tells the editors.
func story(ctx context.Context) (store *memory.Store, edited event.Event, err error) {
	if store, err = memory.Open(ctx, memory.Config{}); err != nil {
		return nil, event.Event{}, err
	}
	_, errAlice := write(ctx, store, notes, event.User("alice"), DocumentCreated{Title: "Notes"})
	edited, errBob := write(ctx, store, notes, event.User("bob"), DocumentEdited{Content: "v2"})
	_, errMailer := write(event.WithCause(ctx, edited), store, inbox, event.Service("mailer"), EditorNotified{})
	return store, edited, errors.Join(errAlice, errBob, errMailer)
}

// The audit log and the feeds of all actors, filled by a runner.
func Example() {
	ctx := context.Background()
	store, _, err := story(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	auditLog := memory.NewAuditLog(audit.Config{}) // or sqlite.NewAuditLog(store, audit.Config{})
	activity := memory.NewUserActivity()           // or sqlite.NewUserActivity(store)
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{auditLog, activity}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := runner.RunUntilCaughtUp(ctx); err != nil {
		fmt.Println(err)
		return
	}

	for record, err := range auditLog.ByEntity(ctx, audit.Aggregate("Document", notes.AggregateID), audit.Page{Limit: 10}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(record.Action(), "by", record.ActorID())
	}
	for actor, err := range activity.ActiveSince(ctx, time.Now().Add(-time.Hour)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(actor.ActorID, "was active", actor.Count, "time")
	}

	// Output:
	// document.edited by user:bob
	// document.created by user:alice
	// service:mailer was active 1 time
	// user:bob was active 1 time
	// user:alice was active 1 time
}

// A stored log is proved equal to what its events say.
func ExampleCompare() {
	ctx := context.Background()
	store, _, err := story(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	auditLog := memory.NewAuditLog(audit.Config{})
	for e, err := range store.ReadAll(ctx, eventstore.Query{Limit: 2}) { // a log that has lost the last record
		if err = errors.Join(err, auditLog.Apply(ctx, nil, e)); err != nil {
			fmt.Println(err)
			return
		}
	}

	comparison, err := audit.Compare(ctx, auditLog, audit.Replay(store, audit.Config{}), 10)
	fmt.Println(comparison, err)
	comparison, err = audit.Compare(ctx, auditLog.AsOf(2), audit.Replay(store, audit.Config{}).AsOf(2), 10)
	fmt.Println(comparison, err)

	// Output:
	// 3 compared, 1 differ
	// position 3: only in the second <nil>
	// 2 compared, all equal <nil>
}

// What followed from an action is drawn as a tree.
func ExampleTrace() {
	ctx := context.Background()
	store, edited, err := story(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	tree, err := audit.Trace(ctx, audit.Replay(store, audit.Config{}), edited.CorrelationID)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, root := range tree.Roots {
		fmt.Println(audit.Label(root.Record), "caused", len(root.Children), "more")
	}
	tree.CorrelationID = uuid.Nil // it is another one in each run
	fmt.Print(tree)

	// Output:
	// DocumentEdited by user:bob on Document/01900000-0000-7000-8000-00000000000d caused 1 more
	// correlation 00000000-0000-0000-0000-000000000000: 2 records
	// └── DocumentEdited by user:bob on Document/01900000-0000-7000-8000-00000000000d
	//     └── EditorNotified by service:mailer on Inbox/01900000-0000-7000-8000-00000000000f
}

// A record of something that no event says.
func ExampleNewRecord() {
	record, err := audit.NewRecord(audit.Draft{
		ActorID:     event.User("alice"),
		OwnerID:     "user:bob",
		Action:      "document.exported",
		Entity:      audit.Aggregate("Document", notes.AggregateID),
		Outcome:     audit.Denied,
		Reason:      "not the owner",
		Description: "alice tried to export Notes",
	})
	fmt.Println(record, record.Outcome(), err)

	_, err = audit.NewRecord(audit.Draft{Action: "Export!", Entity: record.Entity()})
	fmt.Println(err)

	// Output:
	// #0 alice tried to export Notes denied <nil>
	// activity record: invalid action "Export!": must be like "create_task" or "document.update": lower-case letters, digits and underscores, at most five parts
}

// Descriptions and owners are the application's own.
func ExampleConfig() {
	ctx := context.Background()
	store, _, err := story(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	config := audit.Config{
		Describe: func(e event.Event) string { return fmt.Sprintf("%s: %s", e.ActorID.Name(), e.Type) },
		Owner:    func(e event.Event) string { return "owner of " + e.AggregateType },
	}
	for record, err := range audit.Replay(store, config).ByOwner(ctx, "owner of Document", audit.Page{}) {
		fmt.Println(record.Description(), err)
	}

	// Output:
	// bob: DocumentEdited <nil>
	// alice: DocumentCreated <nil>
}

// A reader bound to a tenant sees that tenant's records and no others.
func ExampleReader_ForTenant() {
	ctx := context.Background()
	store, _, err := story(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	acme := audit.Replay(store, audit.Config{}).ForTenant("acme")
	for record, err := range acme.Recent(ctx, audit.Page{}) {
		fmt.Println(record, err) // nothing here belongs to acme
	}
	for _, err := range acme.Find(ctx, audit.Query{TenantID: "other"}) {
		fmt.Println(err)
	}

	// Output:
	// tenant "other" asked for at a store that is bound to tenant "acme"
}

// A task is created and the activity logged, in one step: both are stored, or
// neither.
func ExampleLog_AppendWith() {
	ctx := event.WithActor(context.Background(), event.User("alice"))
	log, err := memory.OpenActivityLog(ctx, audit.LogConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	tasks := aggregate.NewRepository[Task](log.Store(), aggregate.Define("Task",
		aggregate.On(func(s *TaskState, e event.Of[TaskCreated]) { s.Title = e.Payload.Title })))

	id := uuid.MustParse("01900000-0000-7000-8000-00000000000a")
	err = tasks.Update(ctx, id, func(task *Task) error {
		if err := task.Create(ctx, "Write the minutes"); err != nil {
			return err
		}
		_, err := log.AppendWith(ctx, task, audit.Draft{
			Action: "create_task", Entity: audit.Aggregate("Task", id), OwnerID: "user:alice",
			Metadata: event.Metadata{"title": task.State().Title},
		})
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for record, err := range log.ByOwner(ctx, "user:alice", audit.Page{Limit: 10}) {
		fmt.Println(record.Action(), record.Metadata()["title"], err)
	}
	// Output: create_task Write the minutes <nil>
}

type Task struct {
	aggregate.AggregateRoot[TaskState]
}

func (t *Task) Create(ctx context.Context, title string) error {
	return t.Emit(ctx, TaskCreated{Title: title})
}

type TaskState struct{ Title string }

type TaskCreated struct {
	Title string `json:"title"`
}

func (TaskCreated) EventType() string { return "TaskCreated" }

// Values that only some may know stay out of the log.
func ExampleRedaction() {
	redaction, err := audit.NewRedaction(audit.RedactConfig{
		Rules:     map[string]audit.Treatment{"channel": audit.Keep, "card": audit.Mask},
		Otherwise: audit.Drop,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	log, err := memory.OpenActivityLog(ctx, audit.LogConfig{Before: []audit.BeforeAppend{redaction.BeforeAppend}})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := log.Append(ctx, audit.Draft{
		Action: "order.paid", Entity: audit.EntityRef{Type: "Order", ID: "7"},
		Metadata: event.Metadata{"channel": "mobile", "card": "4111 1111 1111 1111", "cvc": "123"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(receipt.Records[0].Metadata())
	// Output: map[card:[redacted] channel:mobile]
}
