package eventstore

import (
	"context"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Store keeps events for ever, in one order.
//
// Every store makes these promises:
//
//  1. Atomic. An append of one or more streams with their events is stored
//     whole or not at all.
//  2. Expected version. A failed expectation is a [*ConflictError], stores
//     nothing and burns no position. Under any number of racing writers
//     exactly one wins each version. An expectation on a stream that the
//     append does not write holds too.
//  3. Contiguous versions. A stream's versions are 1, 2, 3 … without holes.
//  4. Honest. Success means stored and durable. An append whose answer was
//     lost may be sent again: the same event ids at the same versions answer
//     success once more and store nothing twice. When the caller's deadline
//     ends in the unknown, the error is [ErrOutcomeUnknown], and sending the
//     same again is safe.
//  5. Stable prefix. Once a reader of the whole log has seen position p, no
//     event ever appears at or below p. Every reader sees the same order.
//  6. Stream order inside the log. Version n stands before n+1; an event
//     appended after another was read stands after it.
//  7. Round trip. Every envelope field and the payload's exact bytes come back
//     as written: times to the microsecond in UTC, metadata with its types,
//     absent actor, tenant and causation as absent.
//  8. Identifiers. Types, tenants and actors that differ by case, trailing
//     space or Unicode form stay distinct; NUL, invalid UTF-8 and over-long
//     names are refused before anything is stored.
//  9. Streaming. Reads hold a bounded number of events in memory; breaking out
//     of a range releases everything; an error is yielded once and ends the
//     sequence. Cancelled contexts end reads and appends promptly.
//  10. Filters are pushed down. [Query] and [StreamQuery] are evaluated by the
//     store, in both directions, with limits.
//  11. Wake-up. Wait returns soon after an append by this process or any
//     other, and never misses one: a lost notification costs at most one poll
//     interval.
//  12. Tenants fail closed. A store bound to a tenant can neither read nor
//     append another's events, and an event without a tenant is not visible
//     to it. See [BindTenant].
//  13. Limits are stated and typed: [Limits], [ErrTooLarge], [ErrInvalid].
//  14. Use after close is [ErrClosed]; Close may be called twice and from two
//     goroutines.
//
// All methods are safe for concurrent use.
type Store interface {
	// Append stores the events of all given streams as one unit. Event ids
	// must be set; versions, positions and recorded-at times are the store's to
	// set. A stream must not be named twice. An Append without events only
	// checks its expectation. When Append has returned without an error, the
	// store holds on to neither appends nor their events; payload bytes it may
	// share, and they must not be changed.
	//
	// Errors: [ErrConflict], [ErrDuplicateEvent], [ErrInvalid], [ErrTooLarge],
	// [ErrOutcomeUnknown], [ErrClosed], and the store's own, for which
	// [IsRetryable] tells whether trying again can help.
	Append(ctx context.Context, appends ...Append) (Result, error)

	// ReadStream yields the events of one stream in version order, or in
	// reverse. A stream that does not exist yields nothing. The sequence may be
	// ranged over again, which reads anew. It blocks while the store is asked
	// for the next page; a break releases whatever it holds; an error is
	// yielded once, with the zero event, and ends it.
	ReadStream(ctx context.Context, stream Stream, query StreamQuery) iter.Seq2[event.Event, error]

	// ReadAll yields the events of all streams in position order, or in
	// reverse, as far as they match query. It ends at the head that the store
	// had when reading began; it never waits for more. As to blocking, breaks
	// and errors it is like ReadStream.
	ReadAll(ctx context.Context, query Query) iter.Seq2[event.Event, error]

	// Head returns the highest position such that nothing can appear at or
	// below it any more. It is 0 for an empty store.
	Head(ctx context.Context) (uint64, error)

	// Wait blocks until the head is above after and returns it. It returns
	// ctx's error when ctx ends first, and [ErrClosed] when the store is closed.
	Wait(ctx context.Context, after uint64) (uint64, error)

	// ID names this store's history. Positions are comparable only under one
	// id: whoever keeps a position outside the store keeps the id beside it.
	ID() uuid.UUID

	// Limits returns what an append may hold at the most.
	Limits() Limits

	// Close releases what the store holds. Calls in progress end with
	// [ErrClosed] or finish.
	Close() error
}

// Append is what an append does to one stream.
type Append struct {
	Stream   Stream
	Expected Expectation // the zero value is [Any]
	Events   []event.Event
}

// Result says where an append was stored.
type Result struct {
	// Position of the last event. It is 0 for an append without events.
	Position uint64
	// RecordedAt is the store's time of the append.
	RecordedAt time.Time
	// Versions are the versions of the streams after the append, in the order
	// in which they were given. For an append without events it is 0.
	Versions []uint64
}

// Stream is the identity of one aggregate's events. Streams of different
// tenants are different streams even if type and id are equal.
type Stream struct {
	TenantID      event.TenantID // "" for none
	AggregateType string
	AggregateID   uuid.UUID
}

// String returns "Document/0190…", with the tenant in front if there is one.
func (s Stream) String() string {
	name := s.AggregateType + "/" + s.AggregateID.String()
	if s.TenantID != "" {
		name = string(s.TenantID) + "/" + name
	}
	return name
}

// StreamOf returns the stream that e belongs to.
func StreamOf(e event.Event) Stream {
	return Stream{TenantID: e.TenantID, AggregateType: e.AggregateType, AggregateID: e.AggregateID}
}

// Validate checks the names and the id. The error names the field.
func (s Stream) Validate() error {
	if err := s.TenantID.Validate(); err != nil {
		return err
	}
	if err := event.ValidateName("aggregate_type", s.AggregateType); err != nil {
		return err
	}
	if s.AggregateID == uuid.Nil {
		return &event.InvalidError{Field: "aggregate_id", Reason: "must be set; uuid.NewV7 makes one, uuid.NewSHA1 makes one from a natural key"}
	}
	return nil
}
