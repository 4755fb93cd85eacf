package main

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

type onTask = func(ctx context.Context, t *Task) error

func renaming(title string) onTask {
	return func(ctx context.Context, t *Task) error { return t.Rename(ctx, title) }
}

func assigning(to event.ActorID) onTask {
	return func(ctx context.Context, t *Task) error { return t.Assign(ctx, to) }
}

func completing(ctx context.Context, t *Task) error { return t.Complete(ctx) }
func deleting(ctx context.Context, t *Task) error   { return t.Delete(ctx) }

func creating(title string) onTask {
	return func(ctx context.Context, t *Task) error { return t.Create(ctx, "user:2c90", title) }
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	require.NoError(t, tasks.Validate())
	created := TaskCreated{Title: "Plan", Owner: "user:2c90"}
	for name, c := range map[string]struct {
		given []event.Payload
		when  onTask
		then  []event.Payload
		err   error
	}{
		"create":                 {nil, creating("Plan"), []event.Payload{created}, nil},
		"create twice":           {[]event.Payload{created}, creating("Plan"), nil, ErrExists},
		"create without a title": {nil, creating(""), nil, event.ErrInvalid},
		"rename":                 {[]event.Payload{created}, renaming("Do"), []event.Payload{TaskRenamed{Title: "Do"}}, nil},
		"rename to the same":     {[]event.Payload{created}, renaming("Plan"), nil, nil},
		"rename to nothing":      {[]event.Payload{created}, renaming(""), nil, event.ErrInvalid},
		"rename nothing":         {nil, renaming("Do"), nil, ErrMissing},
		"assign":                 {[]event.Payload{created}, assigning("user:51ae"), []event.Payload{TaskAssigned{To: "user:51ae"}}, nil},
		"assign to the same":     {[]event.Payload{created}, assigning("user:2c90"), nil, nil},
		"assign when completed":  {[]event.Payload{created, TaskCompleted{}}, assigning("user:51ae"), nil, ErrCompleted},
		"complete":               {[]event.Payload{created}, completing, []event.Payload{TaskCompleted{}}, nil},
		"complete twice":         {[]event.Payload{created, TaskCompleted{}}, completing, nil, ErrCompleted},
		"complete when deleted":  {[]event.Payload{created, TaskDeleted{}}, completing, nil, ErrDeleted},
		"delete":                 {[]event.Payload{created}, deleting, []event.Payload{TaskDeleted{}}, nil},
		"delete when completed":  {[]event.Payload{created, TaskCompleted{}}, deleting, []event.Payload{TaskDeleted{}}, nil},
		"delete twice":           {[]event.Payload{created, TaskDeleted{}}, deleting, nil, ErrDeleted},
		"delete nothing":         {nil, deleting, nil, ErrMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcome := aggregatetest.Given[Task](t, tasks, c.given...).When(c.when)
			if c.err != nil {
				outcome.ThenError(c.err)
				return
			}
			outcome.Then(c.then...)
		})
	}
}

// newUseCases are the use cases on a log in memory.
func newUseCases(t *testing.T, config audit.LogConfig) (*Tasks, *memory.ActivityLog) {
	t.Helper()
	log, err := memory.OpenActivityLog(t.Context(), config)
	require.NoError(t, err)
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	require.NoError(t, err)
	useCases, err := newTasks(log.Store(), recorder, &People{}, log.Log)
	require.NoError(t, err)
	return useCases, log
}

func acting(t *testing.T) context.Context {
	t.Helper()
	return auth.With(t.Context(), auth.Principal{ActorID: "user:2c90", TenantID: "acme", Permissions: []auth.Permission{MayCreate}})
}

//docs:begin test-logs-activity

func TestTaskCreationLogsActivity(t *testing.T) {
	t.Parallel()
	useCases, log := newUseCases(t, audit.LogConfig{})

	id, err := useCases.Create(acting(t), "Test")
	require.NoError(t, err)

	var creates []audit.ActivityRecord
	for record, err := range log.ByAction(t.Context(), "create_task", audit.Page{}) {
		require.NoError(t, err)
		creates = append(creates, record)
	}
	require.Len(t, creates, 1)
	assert.Equal(t, audit.Aggregate("Task", id), creates[0].Entity())
	assert.EqualValues(t, "user:2c90", creates[0].ActorID())
	assert.Equal(t, "Test", creates[0].Metadata()["title"])
}

//docs:end test-logs-activity

func TestWithoutTheActivityThereIsNoTask(t *testing.T) {
	t.Parallel()
	veto := errors.New("not today")
	useCases, log := newUseCases(t, audit.LogConfig{Before: []audit.BeforeAppend{
		func(context.Context, *audit.Draft) error { return veto },
	}})
	id, err := useCases.Create(acting(t), "Test")
	require.ErrorIs(t, err, veto)
	records, err := log.Records(t.Context())
	require.NoError(t, err)
	assert.Empty(t, records)
	_, err = aggregate.NewRepository[Task](log.Store(), tasks).Load(acting(t), id)
	require.ErrorIs(t, err, aggregate.ErrNotFound)
}

// full is a store that takes nothing any more.
type full struct{ eventstore.Store }

func (full) Append(context.Context, ...eventstore.Append) (eventstore.Result, error) {
	return eventstore.Result{}, eventstore.ErrFull
}

func TestWithoutTheTaskThereIsNoActivity(t *testing.T) {
	t.Parallel()
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
	require.NoError(t, err)
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	require.NoError(t, err)
	useCases, err := newTasks(full{log.Store()}, recorder, &People{}, log.Log)
	require.NoError(t, err)
	_, err = useCases.Create(acting(t), "Test")
	require.ErrorIs(t, err, eventstore.ErrFull)
	records, err := log.Records(t.Context())
	require.NoError(t, err)
	assert.Empty(t, records)
}

// Without the look before, a task that is not there would begin with its end.
func TestNothingIsChangedThatIsNotThere(t *testing.T) {
	t.Parallel()
	useCases, log := newUseCases(t, audit.LogConfig{})
	require.ErrorIs(t, useCases.Complete(acting(t), uuid.New()), aggregate.ErrNotFound)
	records, err := log.Records(t.Context())
	require.NoError(t, err)
	require.Len(t, records, 1)
	assert.Equal(t, audit.Denied, records[0].Outcome())
}
