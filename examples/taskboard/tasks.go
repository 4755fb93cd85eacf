package main

import (
	"context"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// The permissions that the use cases ask for.
const (
	MayRead   auth.Permission = "task:read"
	MayCreate auth.Permission = "task:create"
)

// Tasks are the use cases. Whoever acts is in the context, where the middleware
// has put them; nobody can say that they are somebody else.
type Tasks struct {
	visible  *auth.Repository[Task] // for everybody of the tenant
	owned    *auth.Repository[Task] // for the owner, and administrators
	assigned *auth.Repository[Task] // for whoever is to do it, and administrators
	people   *People
	log      *audit.Log
}

//docs:begin guarded-repositories

// newTasks puts the same repository behind three doors. Behind each of them
// tasks of other tenants do not exist, and who is turned away is recorded.
func newTasks(store eventstore.Store, recorder *auth.Recorder, people *People, log *audit.Log) (t *Tasks, err error) {
	guard := auth.RepositoryConfig[Task]{
		Repository: aggregate.NewRepository[Task](store, tasks), Type: taskType, Recorder: recorder,
		Owner: func(t *Task) event.ActorID { return t.State().Owner },
	}
	t = &Tasks{people: people, log: log}
	if t.owned, err = auth.NewRepository(guard); err != nil {
		return nil, err
	}
	guard.Owner = func(t *Task) event.ActorID { return t.State().Assignee }
	if t.assigned, err = auth.NewRepository(guard); err != nil {
		return nil, err
	}
	guard.May = auth.AnyoneOfTenant[Task]
	t.visible, err = auth.NewRepository(guard)
	return t, err
}

//docs:end guarded-repositories

//docs:begin create-task

// Create creates a task for whoever acts, and logs the activity. The task and
// the activity are stored together, or neither is.
//
// The log then has two records: "create_task", in the words of the use case, and
// "task.created", which it derives from the event. The other use cases have
// nothing to add to their events and leave it at those.
func (t *Tasks) Create(ctx context.Context, title string) (uuid.UUID, error) {
	if err := auth.Require(ctx, MayCreate); err != nil {
		return uuid.Nil, err
	}
	owner, id := event.ActorFrom(ctx), event.NewID()
	err := t.owned.Create(ctx, id, func(task *Task) error {
		if err := task.Create(ctx, owner, title); err != nil {
			return err
		}
		_, err := t.log.AppendWith(ctx, task, audit.Draft{
			OwnerID:  string(owner),
			Action:   "create_task",
			Entity:   audit.Aggregate(taskType, id),
			Metadata: event.Metadata{"title": title},
		})
		return err
	})
	return id, err
}

//docs:end create-task

// Get returns a task for everybody of its tenant who may read tasks.
func (t *Tasks) Get(ctx context.Context, id uuid.UUID) (State, error) {
	if err := auth.Require(ctx, MayRead); err != nil {
		return State{}, err
	}
	task, err := t.visible.Load(ctx, id)
	if err != nil {
		return State{}, err
	}
	if task.State().Stage == Deleted {
		return State{}, ErrDeleted
	}
	return task.State(), nil
}

// Rename is for the owner. What happened to the task becomes a record of the
// log by itself, as all events do: there is nothing to log here.
func (t *Tasks) Rename(ctx context.Context, id uuid.UUID, title string) error {
	return t.owned.Update(ctx, id, func(task *Task) error { return task.Rename(ctx, title) })
}

// Assign is for the owner: it says who of the tenant is to do the task.
func (t *Tasks) Assign(ctx context.Context, id uuid.UUID, name string) error {
	to, err := t.people.Colleague(ctx, name)
	if err != nil {
		return err
	}
	return t.owned.Update(ctx, id, func(task *Task) error { return task.Assign(ctx, to) })
}

// Complete is for whoever is to do the task.
func (t *Tasks) Complete(ctx context.Context, id uuid.UUID) error {
	return t.assigned.Update(ctx, id, func(task *Task) error { return task.Complete(ctx) })
}

// Delete is for the owner.
func (t *Tasks) Delete(ctx context.Context, id uuid.UUID) error {
	return t.owned.Update(ctx, id, func(task *Task) error { return task.Delete(ctx) })
}
