package aggregate

import (
	"context"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Decider is an aggregate as pure functions: the definition says how state
// evolves, Decide what a command leads to.
//
// C is usually an interface that the commands implement, or a struct that
// holds one of them.
type Decider[S, C any] struct {
	Definition *Definition[S]
	// Decide returns the payloads of what happens when command meets state, or
	// the reason why it is refused. It may be called several times for one
	// command and must not change state.
	Decide func(ctx context.Context, state S, command C) ([]event.Payload, error)
}

// Handler carries out the commands of a [Decider]. It is safe for concurrent
// use.
type Handler[S, C any] struct {
	decide     func(context.Context, S, C) ([]event.Payload, error)
	repository *Repository[decided[S]]
}

// decided is the aggregate that a decider has instead of one with methods.
type decided[S any] struct{ AggregateRoot[S] }

// NewHandler returns a handler of decider's commands. Errors are those of
// [NewRepositoryWith].
func NewHandler[S, C any](store eventstore.Store, decider Decider[S, C], config Config) (*Handler[S, C], error) {
	if decider.Decide == nil {
		return nil, &event.DefinitionError{Subject: "decider", Reason: "has no Decide function"}
	}
	repository, err := NewRepositoryWith[decided[S]](store, decider.Definition, config)
	if err != nil {
		return nil, err
	}
	return &Handler[S, C]{decide: decider.Decide, repository: repository}, nil
}

// Handle decides on command and saves what it leads to, as [Repository.Update]
// does.
func (h *Handler[S, C]) Handle(ctx context.Context, id uuid.UUID, command C) error {
	return h.repository.Update(ctx, id, func(a *decided[S]) error {
		payloads, err := h.decide(ctx, a.State(), command)
		if err != nil {
			return err
		}
		return a.Emit(ctx, payloads...)
	})
}

// State returns the state and version of an aggregate. Errors are those of
// [Repository.Load].
func (h *Handler[S, C]) State(ctx context.Context, id uuid.UUID) (state S, version uint64, err error) {
	a, err := h.repository.Load(ctx, id)
	if err != nil {
		return state, 0, err
	}
	return a.State(), a.Version(), nil
}

// Close is [Repository.Close].
func (h *Handler[S, C]) Close(ctx context.Context) error { return h.repository.Close(ctx) }
