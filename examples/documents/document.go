package main

import (
	"context"
	"errors"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

//docs:begin quickstart

// What can happen to a document, under the names that are stored.
type (
	Created struct{ Title, Content string }
	Edited  struct{ Content string }
)

func (Created) EventType() string { return "DocumentCreated" }
func (Edited) EventType() string  { return "DocumentEdited" }

// What a document is after its events.
type State struct {
	Title, Content      string
	CreatedBy, EditedBy event.ActorID
}

var documents = aggregate.Define("Document",
	aggregate.On(func(s *State, e event.Of[Created]) {
		*s = State{Title: e.Payload.Title, Content: e.Payload.Content, CreatedBy: e.ActorID}
	}),
	aggregate.On(func(s *State, e event.Of[Edited]) {
		s.Content, s.EditedBy = e.Payload.Content, e.ActorID
	}),
)

// Document decides: its methods look at the state and emit events, or refuse.
type Document struct{ aggregate.AggregateRoot[State] }

func (d *Document) Edit(ctx context.Context, content string) error {
	if d.Version() == 0 {
		return ErrNotCreated
	}
	return d.Emit(ctx, Edited{Content: content})
}

//docs:end quickstart

// Create starts a document's history.
func (d *Document) Create(ctx context.Context, title, content string) error {
	if d.Version() > 0 {
		return ErrExists
	}
	return d.Emit(ctx, Created{Title: title, Content: content})
}

// What a document refuses.
var (
	ErrExists     = errors.New("document exists already")
	ErrNotCreated = errors.New("document must be created first")
)
