package main

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Events are stamped with the actor that the context carries. Here are three
// ways for it to get there; a program chooses one and keeps to it.

// The first way: everybody on the way takes the actor as an argument. It is
// plain to see, and it is in every signature.

//docs:begin actor-direct

// PlaceAs places an order for an actor.
func (s *Shop) PlaceAs(ctx context.Context, actor event.ActorID, p OrderPlaced) error {
	ctx = event.WithActor(ctx, actor)
	return s.orders.Update(ctx, OrderID(p.Number), func(o *Order) error { return o.Place(ctx, p) })
}

//docs:end actor-direct

// The second way: whoever lets a request in says once who sent it.

//docs:begin actor-context

// Request is what is known of a request when it has been let in.
type Request struct {
	Actor event.ActorID // from a verified token or session, never from what the client says
	ID    string
	From  string // the client's address
}

// Context returns the context in which the request is worked on. A web server
// does this in one place, for all of its handlers.
func (r Request) Context(ctx context.Context) context.Context {
	ctx = event.WithActor(ctx, r.Actor)
	ctx = event.WithCorrelation(ctx, r.Correlation()) // all that follows belongs together
	return event.WithMetadata(ctx, event.Metadata{audit.KeyRequest: r.ID, audit.KeySourceAddress: r.From})
}

// Place knows nothing of actors.
func (s *Shop) Place(ctx context.Context, p OrderPlaced) error {
	return s.orders.Update(ctx, OrderID(p.Number), func(o *Order) error { return o.Place(ctx, p) })
}

//docs:end actor-context

// Correlation names the chain of everything that follows from the request.
func (r Request) Correlation() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://shop.example/requests/"+r.ID))
}

// The third way: a command says what is wanted, and by whom. It can be kept in
// a queue, and tested without a context.

//docs:begin actor-command

// PlaceOrder is a command.
type PlaceOrder struct {
	By    event.ActorID // who wants it; required
	For   event.ActorID // on whose behalf; "" if on their own
	Order OrderPlaced
}

// ErrNobody says that a command does not say who wants it. Somebody unknown is
// [event.Anonymous].
var ErrNobody = errors.New("command does not say who wants it")

// Handle carries the command out.
func (s *Shop) Handle(ctx context.Context, c PlaceOrder) error {
	if c.By == "" {
		return ErrNobody
	}
	if err := errors.Join(c.By.Validate(), c.For.Validate()); err != nil {
		return err
	}
	ctx = event.WithActor(ctx, c.By)
	if c.For != "" {
		ctx = event.WithMetadata(ctx, event.Metadata{audit.KeyOnBehalfOf: string(c.For)})
	}
	return s.Place(ctx, c.Order)
}

//docs:end actor-command
