package aggregatetest

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
)

// TB is what a scenario needs of a [testing.TB].
type TB interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Time returns the time at which everything happens unless [Scenario.At] says
// otherwise.
func Time() time.Time { return time.Date(2025, time.January, 1, 12, 0, 0, 0, time.UTC) }

// ID returns the id that the aggregate has unless [Scenario.WithID] says
// otherwise.
func ID() uuid.UUID { return uuid.UUID{0: 0xa9, 6: 0x40, 8: 0x80, 15: 1} }

// Scenario is what was given, before anything is done. Its methods change and
// return it.
type Scenario[A, S any] struct {
	t          TB
	definition *aggregate.Definition[S]
	load       func(context.Context, *past) (*A, aggregate.Root, error)
	past       past
	id         uuid.UUID
	now        time.Time
	origin     event.Origin
}

// Given starts a scenario: an aggregate to which history has happened, oldest
// first. Without history it does not exist yet.
func Given[A, S any, P aggregate.Rooted[A, S]](t TB, definition *aggregate.Definition[S], history ...event.Payload) *Scenario[A, S] {
	t.Helper()
	s := &Scenario[A, S]{t: t, definition: definition, id: ID(), now: Time()}
	if err := definition.Validate(); err != nil {
		t.Fatalf("given: %v", err)
		return s
	}
	s.load = func(ctx context.Context, past *past) (*A, aggregate.Root, error) {
		repository, err := aggregate.NewRepositoryWith[A, S, P](past, definition, aggregate.Config{Now: func() time.Time { return s.now }})
		if err != nil {
			return nil, nil, err
		}
		if len(past.events) == 0 {
			a := repository.New(s.id)
			return a, P(a), nil
		}
		a, err := repository.Load(ctx, s.id)
		return a, P(a), err
	}
	return s.Earlier("", history...)
}

// Earlier adds to the history what actor caused.
func (s *Scenario[A, S]) Earlier(actor event.ActorID, history ...event.Payload) *Scenario[A, S] {
	s.t.Helper()
	ctx := event.WithActor(s.t.Context(), actor)
	for i, payload := range history {
		if payload == nil {
			s.t.Fatalf("given: payload %d is nil", i+1)
			return s
		}
		e, err := event.NewWith(ctx, s.definition.Codec(), s.now, payload)
		if err != nil {
			s.t.Fatalf("given: %v", err)
			return s
		}
		s.past.events = append(s.past.events, e)
	}
	return s
}

// Stored adds events to the history as an older program stored them, to test
// upcasts. Only type, schema version (0 means 1) and data are needed.
func (s *Scenario[A, S]) Stored(events ...event.Event) *Scenario[A, S] {
	for _, e := range events {
		e.SchemaVersion = max(e.SchemaVersion, 1)
		s.past.events = append(s.past.events, e)
	}
	return s
}

// As sets who acts. Without it, nobody is named.
func (s *Scenario[A, S]) As(actor event.ActorID) *Scenario[A, S] {
	s.origin.ActorID = actor
	return s
}

// For sets the tenant that the aggregate belongs to. Without it, there is none.
func (s *Scenario[A, S]) For(tenant event.TenantID) *Scenario[A, S] {
	s.origin.TenantID = tenant
	return s
}

// At sets the time at which what follows happens: history that is added
// afterwards, and what is done.
func (s *Scenario[A, S]) At(now time.Time) *Scenario[A, S] {
	s.now = now
	return s
}

// WithID sets the aggregate's id.
func (s *Scenario[A, S]) WithID(id uuid.UUID) *Scenario[A, S] {
	s.id = id
	return s
}

// When does something with the aggregate. The context carries the actor and
// the tenant.
func (s *Scenario[A, S]) When(act func(ctx context.Context, a *A) error) *Outcome[A, S] {
	s.t.Helper()
	ctx := event.WithOrigin(s.t.Context(), s.origin)
	a, root, err := s.load(ctx, &s.past)
	if err != nil {
		s.t.Fatalf("given: the history cannot be replayed: %v", err)
		return &Outcome[A, S]{t: s.t, Err: err}
	}
	return &Outcome[A, S]{t: s.t, definition: s.definition, root: root, Aggregate: a, Err: act(ctx, a)}
}
