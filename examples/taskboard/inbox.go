package main

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/jetstream"
)

// Message is what came over NATS, as far as the board shows it.
type Message struct {
	ID       uuid.UUID      `json:"id"` // of the record
	Subject  string         `json:"subject"`
	Tenant   event.TenantID `json:"tenant_id,omitempty"`
	Actor    event.ActorID  `json:"actor_id"`
	Action   string         `json:"action"`
	Sequence uint64         `json:"sequence,string"` // in the stream
}

// Inbox is another program, as it were: it knows of the board only what is
// published. It keeps the last messages in memory, and is safe for concurrent use.
type Inbox struct {
	mu       sync.Mutex
	messages []Message
	grown    chan struct{} // closed when a message comes
}

// capacity is how many messages an inbox keeps.
const capacity = 1000

func newInbox() *Inbox { return &Inbox{grown: make(chan struct{})} }

//docs:begin consume

// take gets each activity once: the consumer recognises what comes again.
func (i *Inbox) take(_ context.Context, a jetstream.Activity, r jetstream.Received) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.messages = append(i.messages, Message{
		ID: a.ID, Subject: r.Subject, Tenant: a.TenantID, Actor: a.ActorID, Action: a.Action, Sequence: r.Sequence,
	})
	i.messages = i.messages[max(0, len(i.messages)-capacity):]
	close(i.grown)
	i.grown = make(chan struct{})
	return nil
}

//docs:end consume

// Messages returns what came for a tenant, in the order of the stream.
func (i *Inbox) Messages(tenant event.TenantID) []Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	of := make([]Message, 0, len(i.messages))
	for _, m := range i.messages {
		if m.Tenant == tenant {
			of = append(of, m)
		}
	}
	return of
}

// Await blocks until a record has come.
func (i *Inbox) Await(ctx context.Context, id uuid.UUID) error {
	for {
		i.mu.Lock()
		here := slices.ContainsFunc(i.messages, func(m Message) bool { return m.ID == id })
		grown := i.grown
		i.mu.Unlock()
		if here {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
