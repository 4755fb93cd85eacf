package audit

import (
	"context"
	"iter"

	"github.com/evident-go/evident/projection"
)

// LogName is the name of the projection that fills a log of records.
const LogName = "audit_log"

// Finder answers queries for records.
type Finder interface {
	// Find yields the records that match query. It may block while the next
	// ones are fetched; a break releases whatever it holds; an error is yielded
	// once, with the zero record, and ends it. The sequence may be ranged over
	// again, which reads anew.
	Find(ctx context.Context, query Query) iter.Seq2[ActivityRecord, error]
	// FindActions yields every action of which there is a record within the
	// bounds of query, whatever was used last, by position, first. Its sequences
	// are as those of Find.
	FindActions(ctx context.Context, query ActionQuery) iter.Seq2[ActionUse, error]
}

// LogHome is where the records of all events are kept: a projection that a
// runner feeds, and the queries that it answers. Homes also have the methods
// of [Reader].
//
// Every home makes these promises:
//
//  1. Complete. Every event, whatever its type, becomes one record at the
//     event's position, as [FromEvent] derives it, and comes back with every
//     field as it was. Whoever was not named is anonymous.
//  2. Idempotent. An event that is applied again changes nothing. A different
//     record in the place of a stored one is refused with [ErrImmutable].
//  3. Order is by position, never by time: most recent first or oldest first,
//     whatever the clocks said and however late an event was applied.
//  4. Queries are exact. Conditions are combined with "and"; names that
//     differ by case, trailing space or Unicode form are different; a query
//     that no record can match is refused.
//  5. Pages are stable. With the last position as cursor every record is seen
//     once while others are appended. A sequence shows nothing that is
//     appended after its first record.
//  6. Streaming. A break releases everything; an error is yielded once, with
//     the zero record, and ends the sequence; an ended context ends it.
//  7. Replay. After a reset, which leaves no record behind, and a replay of
//     the same events the log is what it was. So is an empty home to which
//     they are applied.
//  8. Tenants. A query for a tenant sees that tenant's records and no others;
//     a reader bound to one fails closed.
//  9. Immutable. Whoever changes what a home has handed out changes nothing
//     that is stored, and the home refuses every other way to change or delete
//     a record.
//  10. Actions in use are those of the records within the bounds, whatever was
//     used last first, each once, with its last use there. A query for a
//     tenant sees that tenant's actions and no others.
//
// Finding is safe for concurrent use, also with one Apply or Reset.
type LogHome interface {
	projection.Projection
	Finder
}
