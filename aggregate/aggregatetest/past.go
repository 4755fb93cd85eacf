package aggregatetest

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// past is a store that holds one stream, whichever is asked for. It answers
// what a load asks, and nothing else.
type past struct {
	eventstore.Store

	events []event.Event
}

// ID implements [eventstore.Store].
func (p *past) ID() uuid.UUID { return uuid.Nil }

// ReadStream implements [eventstore.Store].
func (p *past) ReadStream(_ context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for i, e := range p.events {
			version := uint64(i) + 1
			if query.Matches(version) && !yield(eventstore.Place(e, stream, version, version, e.OccurredAt), nil) {
				return
			}
		}
	}
}
