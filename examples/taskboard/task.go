package main

import (
	"context"
	"errors"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// What can happen to a task, under the names that are stored.
type (
	TaskCreated struct {
		Title string
		Owner event.ActorID
	}
	TaskRenamed   struct{ Title string }
	TaskAssigned  struct{ To event.ActorID }
	TaskCompleted struct{}
	TaskDeleted   struct{}
)

func (TaskCreated) EventType() string   { return "TaskCreated" }
func (TaskRenamed) EventType() string   { return "TaskRenamed" }
func (TaskAssigned) EventType() string  { return "TaskAssigned" }
func (TaskCompleted) EventType() string { return "TaskCompleted" }
func (TaskDeleted) EventType() string   { return "TaskDeleted" }

// State is what a task is after its events.
type State struct {
	Title    string
	Owner    event.ActorID // who may change it
	Assignee event.ActorID // who is to do it
	Stage    Stage
}

// Stage is how far a task has come.
type Stage string

// The stages.
const (
	Open      Stage = "open"
	Completed Stage = "completed"
	Deleted   Stage = "deleted"
)

// taskType is the type of the aggregate, and of the entity in audit records.
const taskType = "Task"

var tasks = aggregate.Define(taskType,
	aggregate.On(func(s *State, e event.Of[TaskCreated]) {
		*s = State{Title: e.Payload.Title, Owner: e.Payload.Owner, Assignee: e.Payload.Owner, Stage: Open}
	}),
	aggregate.On(func(s *State, e event.Of[TaskRenamed]) { s.Title = e.Payload.Title }),
	aggregate.On(func(s *State, e event.Of[TaskAssigned]) { s.Assignee = e.Payload.To }),
	aggregate.On(func(s *State, _ event.Of[TaskCompleted]) { s.Stage = Completed }),
	aggregate.On(func(s *State, _ event.Of[TaskDeleted]) { s.Stage = Deleted }),
	aggregate.OwnedBy(func(s State) string { return string(s.Owner) }), // for questions by owner
)

// What a task refuses.
var (
	ErrExists    = errors.New("the task exists already")
	ErrMissing   = errors.New("the task must be created first")
	ErrCompleted = errors.New("the task is completed")
	ErrDeleted   = errors.New("the task is deleted")
)

// Task decides: its methods look at the state and emit an event, or refuse.
// Who may call them is not its business, see tasks.go.
type Task struct{ aggregate.AggregateRoot[State] }

// Create starts a task's history. It belongs to owner, who is also to do it.
func (t *Task) Create(ctx context.Context, owner event.ActorID, title string) error {
	if t.Version() > 0 {
		return ErrExists
	}
	if err := validateTitle(title); err != nil {
		return err
	}
	return t.Emit(ctx, TaskCreated{Title: title, Owner: owner})
}

// Rename gives the task another title. The same title changes nothing.
func (t *Task) Rename(ctx context.Context, title string) error {
	if err := errors.Join(t.mustBeOpen(), validateTitle(title)); err != nil {
		return err
	}
	if title == t.State().Title {
		return nil
	}
	return t.Emit(ctx, TaskRenamed{Title: title})
}

// Assign says who is to do it.
func (t *Task) Assign(ctx context.Context, to event.ActorID) error {
	if err := t.mustBeOpen(); err != nil {
		return err
	}
	if to == t.State().Assignee {
		return nil
	}
	return t.Emit(ctx, TaskAssigned{To: to})
}

// Complete says that it is done.
func (t *Task) Complete(ctx context.Context) error {
	if err := t.mustBeOpen(); err != nil {
		return err
	}
	return t.Emit(ctx, TaskCompleted{})
}

// Delete takes the task from the board. What happened to it stays in the log.
func (t *Task) Delete(ctx context.Context) error {
	if err := t.mustBeOpen(); err != nil && !errors.Is(err, ErrCompleted) {
		return err
	}
	return t.Emit(ctx, TaskDeleted{})
}

func (t *Task) mustBeOpen() error {
	switch t.State().Stage {
	case "":
		return ErrMissing
	case Completed:
		return ErrCompleted
	case Deleted:
		return ErrDeleted
	default:
		return nil
	}
}

// maxTitle is how long a title may be, in bytes.
const maxTitle = 200

func validateTitle(title string) error {
	if title == "" {
		return &event.InvalidError{Field: "title", Reason: "must not be empty"}
	}
	return event.ValidateText("title", title, maxTitle)
}
