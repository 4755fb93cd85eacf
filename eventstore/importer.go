package eventstore

import (
	"context"
	"iter"
	"time"

	"github.com/evident-go/evident/event"
)

// Importer is a store that takes over events of another store as they are. It
// is optional: whoever needs it asks whether a [Store] is one.
//
// Every importer makes these promises:
//
//  1. As they are. Every field but the position comes back as it was given:
//     the id, the version, both times, metadata with its types, the payload's
//     exact bytes. An event without a recorded-at time is recorded now.
//  2. In the order given. Positions are the store's own. They rise in the order
//     of the sequence, above all that are stored; the one that an event brings
//     along is not looked at.
//  3. Streams without holes. Every event has its version and continues its
//     stream. One that leaves a hole, or wants a place that is taken, is a
//     [*ConflictError].
//  4. Again. An event that is stored already, at the same version of the same
//     stream, is passed over and not counted. So an import that ended early is
//     run again, from its beginning or from any event that is stored. An id that
//     is stored at another place is a [*DuplicateEventError].
//  5. A beginning. Events are stored some at a time, in order. Whatever ends an
//     import early (an error, the end of ctx, a crash), what is stored then is a
//     beginning of the sequence, without a hole.
//  6. Streaming. A bounded number of events is in memory. An error that the
//     sequence yields ends the import and is wrapped.
//  7. Beside others. Reads, appends and other imports may go on meanwhile, and
//     everything that [Store] promises them holds. Nothing is held while the
//     sequence is asked for more: it may come from the same store.
//  8. Bad input is refused as Append refuses it: [CheckImport].
//  9. Use after close is ErrClosed.
//
// Import is safe for concurrent use.
type Importer interface {
	// Import stores the events of a sequence and returns how many. With an error
	// it returns how many are known to be stored by then.
	//
	// Errors: those of Append, and that of the sequence.
	Import(ctx context.Context, events iter.Seq2[event.Event, error]) (stored int, err error)
}

// CheckImport checks an event against limits and against everything that every
// store refuses; an [Importer] does it with each before it stores it. Its version
// must be set, and a recorded-at time must lie in the years 1 to 9999, or not be
// set. Metadata is checked by [event.EncodeMetadata], when the store encodes it.
//
// Errors are [*event.InvalidError] and [*event.TooLargeError].
func CheckImport(limits Limits, e *event.Event) error {
	if e.AggregateVersion == 0 {
		return &event.InvalidError{Field: "aggregate_version", Value: "0", Reason: "must be set: an import keeps versions"}
	}
	if year := e.RecordedAt.UTC().Year(); year < 1 || year > 9999 {
		return &event.InvalidError{Field: "recorded_at", Value: e.RecordedAt.Format(time.RFC3339), Reason: "is outside the years 1 to 9999"}
	}
	one := Append{Stream: StreamOf(*e), Expected: Exact(e.AggregateVersion - 1), Events: []event.Event{*e}}
	return checkAppend(limits, &one)
}
