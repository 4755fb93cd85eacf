package seeds_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

// What can happen to a task.
type (
	TaskCreated struct {
		Title string        `json:"title"`
		Owner event.ActorID `json:"owner"`
	}
	TaskUpdated   struct{ Title string }
	TaskCompleted struct{}
)

func (TaskCreated) EventType() string   { return "TaskCreated" }
func (TaskUpdated) EventType() string   { return "TaskUpdated" }
func (TaskCompleted) EventType() string { return "TaskCompleted" }

// TaskState is a task after its events.
type TaskState struct {
	Title string
	Owner event.ActorID
}

// Task decides.
type Task struct {
	aggregate.AggregateRoot[TaskState]
}

func newTasks(store eventstore.Store, now func() time.Time) (*aggregate.Repository[Task], error) {
	return aggregate.NewRepositoryWith[Task](store, aggregate.Define("Task",
		aggregate.On(func(s *TaskState, e event.Of[TaskCreated]) { s.Title, s.Owner = e.Payload.Title, e.Payload.Owner }),
		aggregate.On(func(s *TaskState, e event.Of[TaskUpdated]) { s.Title = e.Payload.Title }),
		aggregate.On(func(*TaskState, event.Of[TaskCompleted]) {}),
	), aggregate.Config{Now: now})
}

// CreateTask is a use case: it creates a task and says so in the log.
type CreateTask struct {
	Tasks *aggregate.Repository[Task]
	Log   *audit.Log
}

// Execute creates the task of whoever acts. Task and activity are stored
// together, or neither is.
func (u CreateTask) Execute(ctx context.Context, id uuid.UUID, title string) error {
	actor := event.ActorFrom(ctx)
	return u.Tasks.Update(ctx, id, func(t *Task) error {
		if err := t.Emit(ctx, TaskCreated{Title: title, Owner: actor}); err != nil {
			return err
		}
		_, err := u.Log.AppendWith(ctx, t, audit.Draft{
			Action:   "create_task",
			Entity:   audit.Aggregate("Task", id),
			OwnerID:  string(actor),
			Metadata: event.Metadata{"title": title},
		})
		return err
	})
}

// An activity joins the save of the aggregate that it is about.
func Example_createTask() {
	run(func(ctx context.Context, s *shop) error {
		tasks, err := newTasks(s.store, s.clock.Now)
		if err != nil {
			return err
		}
		if err := (CreateTask{Tasks: tasks, Log: s.log}).Execute(by(ctx, "7f3a"), orderID, "Tidy up"); err != nil {
			return err
		}
		for record, err := range s.log.ByAction(ctx, "create_task", audit.Page{}) {
			if err != nil {
				return err
			}
			fmt.Println(record.ActorID(), record.OwnerID(), record.Action(), record.Entity().Type, record.Metadata())
		}
		head, err := s.store.Head(ctx)
		fmt.Println("stored in one step:", head)
		return err
	})
	// Output:
	// user:7f3a user:7f3a create_task Task map[title:Tidy up]
	// stored in one step: 2
}

// board has tasks with a day's history, and says whose they are by metadata.
func (s *shop) board(ctx context.Context) error {
	tasks, err := newTasks(s.store, s.clock.Now)
	if err != nil {
		return err
	}
	ctx = event.WithMetadata(ctx, event.Metadata{audit.KeyOwner: "user:ann", "title": "Tidy up"})
	for _, step := range []struct {
		user string
		what event.Payload
	}{
		{"ann", TaskCreated{Title: "Tidy up", Owner: "user:ann"}},
		{"ann", TaskUpdated{Title: "Tidy up"}},
		{"bob", TaskCompleted{}},
	} {
		ctx := by(ctx, step.user)
		if err := tasks.Update(ctx, orderID, func(t *Task) error { return t.Emit(ctx, step.what) }); err != nil {
			return err
		}
		s.clock.pass(95 * time.Minute)
	}
	ann := by(ctx, "ann")
	return tasks.Update(ann, otherID, func(t *Task) error { return t.Emit(ann, TaskCreated{Title: "Rest"}) })
}

// withBoard runs an example with an audit log of the board.
func withBoard(example func(ctx context.Context, s *shop, auditLog *memory.AuditLog) error) {
	run(func(ctx context.Context, s *shop) error {
		if err := s.board(ctx); err != nil {
			return err
		}
		auditLog := memory.NewAuditLog(audit.Config{})
		_, err := s.project(ctx, auditLog)
		return errors.Join(err, example(ctx, s, auditLog))
	})
}

// The last ten activities of a task, the latest first.
func Example_lastTenOfATask() {
	withBoard(func(ctx context.Context, _ *shop, auditLog *memory.AuditLog) error {
		for record, err := range auditLog.ByEntity(ctx, audit.Aggregate("Task", orderID), audit.Page{Limit: 10}) {
			if err != nil {
				return err
			}
			fmt.Printf("%s: %s by %s\n", record.OccurredAt().Format("2006-01-02 15:04"), record.Action(), record.ActorID())
		}
		return nil
	})
	// Output:
	// 2026-05-04 12:25: task.completed by user:bob
	// 2026-05-04 10:50: task.updated by user:ann
	// 2026-05-04 09:15: task.created by user:ann
}

// What was done to somebody's things, in the form that a page wants.
func Example_feedOfAnOwner() {
	type item struct {
		Action  string         `json:"action"`
		Entity  string         `json:"entity"`
		Actor   event.ActorID  `json:"actor"`
		When    time.Time      `json:"when"`
		Details event.Metadata `json:"details"`
	}
	withBoard(func(ctx context.Context, _ *shop, auditLog *memory.AuditLog) error {
		var feed []item
		for r, err := range auditLog.ByOwner(ctx, "user:ann", audit.Page{Limit: 50}) {
			if err != nil {
				return err
			}
			feed = append(feed, item{r.Action(), r.Entity().String(), r.ActorID(), r.OccurredAt(), r.Metadata()})
		}
		second, err := json.Marshal(feed[1])
		fmt.Println(len(feed), string(second))
		return err
	})
	// Output:
	// 4 {"action":"task.completed","entity":"Task/01900000-0000-7000-8000-00000000000a","actor":"user:bob","when":"2026-05-04T12:25:00Z","details":{"owner_id":"user:ann","title":"Tidy up"}}
}

// How often somebody did what.
func Example_countByAction() {
	withBoard(func(ctx context.Context, _ *shop, auditLog *memory.AuditLog) error {
		counts := make(map[string]int)
		for record, err := range auditLog.ByActor(ctx, event.User("ann"), audit.Page{}) {
			if err != nil {
				return err
			}
			counts[record.Action()]++
		}
		fmt.Println(counts)
		return nil
	})
	// Output: map[task.created:2 task.updated:1]
}

// A test of a use case looks at what the log has.
func TestCreateTaskIsLogged(t *testing.T) {
	t.Parallel()
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
	require.NoError(t, err)
	tasks, err := newTasks(log.Store(), time.Now)
	require.NoError(t, err)
	actor := event.User("7f3a")
	ctx := event.WithActor(t.Context(), actor)

	require.NoError(t, CreateTask{Tasks: tasks, Log: log.Log}.Execute(ctx, orderID, "Test"))

	records, err := log.Records(t.Context())
	require.NoError(t, err)
	require.Len(t, records, 2, "what the event TaskCreated says, and what the use case adds")
	assert.Equal(t, "task.created", records[0].Action())
	assert.Equal(t, "create_task", records[1].Action())
	assert.Equal(t, "Task", records[1].Entity().Type)
	assert.Equal(t, actor, records[1].ActorID())

	var creates []audit.ActivityRecord
	for record, err := range log.ByAction(t.Context(), "create_task", audit.Page{}) {
		require.NoError(t, err)
		creates = append(creates, record)
	}
	assert.Len(t, creates, 1)
}

// A record that was handed out cannot be used to change the log, and an id that
// is taken has one record for ever.
func Example_appendOnly() {
	run(func(ctx context.Context, s *shop) error {
		draft := audit.Draft{
			ID: chainID, Action: "task.viewed", Entity: audit.Aggregate("Task", orderID), Metadata: event.Metadata{"page": 1},
		}
		receipt, err := s.log.Append(by(ctx, "ann"), draft)
		if err != nil {
			return err
		}
		receipt.Records[0].Metadata()["page"] = 2 // a copy
		draft.Metadata["page"] = 3
		_, err = s.log.Append(by(ctx, "ann"), draft)
		fmt.Println(errors.Is(err, audit.ErrImmutable))
		record, err := s.log.Get(ctx, chainID)
		fmt.Println(record.Metadata())
		return err
	})
	// Output:
	// true
	// map[page:1]
}

// The log over HTTP.
func Example_auditOverHTTP() {
	withBoard(func(ctx context.Context, s *shop, auditLog *memory.AuditLog) error {
		log, err := audit.NewLog(s.store, auditLog, audit.LogConfig{})
		if err != nil {
			return err
		}
		recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
		if err != nil {
			return err
		}
		handler, err := audithttp.New(audithttp.Config{
			Log: log, Activity: audit.ReplayActivities(s.store), Recorder: recorder, WithoutTenants: true,
			Authenticate: func(*http.Request) (auth.Principal, error) { // a service has httpauth's Middleware.Principal
				return auth.Principal{ActorID: event.User("auditor"), Permissions: []auth.Permission{audithttp.Read}}, nil
			},
		})
		if err != nil {
			return err
		}
		call := func(method, target string) (int, map[string]any) {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, target, http.NoBody))
			var body map[string]any
			if err := json.NewDecoder(w.Body).Decode(&body); err != nil && !errors.Is(err, io.EOF) {
				fmt.Println(err)
			}
			return w.Code, body
		}
		status, page := call(http.MethodGet, "/v1/audit/entities/Task/"+orderID.String()+"/records?limit=10")
		records, _ := page["data"].([]any)
		fmt.Println(status, len(records))
		status, _ = call(http.MethodDelete, "/v1/audit/records")
		fmt.Println(status)
		status, contract := call(http.MethodGet, "/v1/audit/openapi.json")
		paths, _ := contract["paths"].(map[string]any)
		fmt.Println(status, contract["openapi"], slices.Contains(slices.Collect(maps.Keys(paths)), "/v1/audit/records"))
		return nil
	})
	// Output:
	// 200 3
	// 405
	// 200 3.1.0 true
}

// ActivityRecorded v1 is the event that an activity is stored as, and the
// message that tells others of every record.
func TestActivityRecorded(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	config := jetstream.PublisherConfig{}
	require.NoError(t, jetstream.ProvisionStream(t.Context(), js, config))
	publisher, err := jetstream.NewPublisher(js, config)
	require.NoError(t, err)
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
	require.NoError(t, err)
	_, err = log.Append(by(t.Context(), "7f3a"), audit.Draft{Action: "create_task", Entity: audit.Aggregate("Task", orderID)})
	require.NoError(t, err)

	for e, err := range log.Store().ReadAll(t.Context(), eventstore.Query{}) {
		require.NoError(t, err)
		assert.Equal(t, audit.RecordedType, e.Type)
		assert.Equal(t, 1, e.SchemaVersion)
	}

	runner, err := projection.NewRunner(log.Store(), projection.Config{Projections: []projection.Projection{publisher}})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	stream, err := js.Stream(t.Context(), "AUDIT")
	require.NoError(t, err)
	stored, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, "audit.v1.~.activity.recorded.Task.create_task", stored.Subject)
	var message jetstream.CloudEvent
	require.NoError(t, json.Unmarshal(stored.Data, &message))
	assert.Equal(t, "evident.audit.activity.recorded.v1", message.Type)
	activity, err := jetstream.DecodeActivity(message)
	require.NoError(t, err)
	assert.Equal(t, event.User("7f3a"), activity.ActorID)
}
