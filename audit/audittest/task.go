package audittest

import (
	"context"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// task is an aggregate whose saves a log joins.
type task struct {
	aggregate.AggregateRoot[taskState]
}

type taskState struct{ Title string }

type taskCreated struct {
	Title string `json:"title"`
}

func (taskCreated) EventType() string { return "TaskCreated" }

type taskRenamed struct {
	Title string `json:"title"`
}

func (taskRenamed) EventType() string { return "TaskRenamed" }

func newTasks(store eventstore.Store) *aggregate.Repository[task] {
	return aggregate.NewRepository[task](store, aggregate.Define("Task",
		aggregate.On(func(s *taskState, e event.Of[taskCreated]) { s.Title = e.Payload.Title }),
		aggregate.On(func(s *taskState, e event.Of[taskRenamed]) { s.Title = e.Payload.Title }),
	))
}

// Create emits TaskCreated.
func (t *task) Create(ctx context.Context, title string) error {
	return t.Emit(ctx, taskCreated{Title: title})
}

// Rename emits TaskRenamed.
func (t *task) Rename(ctx context.Context, title string) error {
	return t.Emit(ctx, taskRenamed{Title: title})
}

func saveAll(ctx context.Context, store eventstore.Store, tasks ...*task) error {
	roots := make([]aggregate.Root, len(tasks))
	for i, t := range tasks {
		roots[i] = t
	}
	return aggregate.SaveAll(ctx, store, roots...)
}
