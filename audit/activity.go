package audit

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

const (
	// ActivityName is the name of the projection that fills the feeds of actors.
	ActivityName = "user_activity"
	// FeedLimit is how many activities [ActivityReader.ByActor] yields if the
	// page does not say.
	FeedLimit = 50
)

// Activity is one entry of an actor's feed. It is a plain value: copies are
// independent, and changing one changes nothing that is stored.
type Activity struct {
	EventID       uuid.UUID
	EventType     string
	Action        string    // what was done, for example "document.created"
	Entity        EntityRef // what it was done to
	TenantID      event.TenantID
	ActorID       event.ActorID // never empty: whoever was not named is [event.Anonymous]
	CorrelationID uuid.UUID
	OccurredAt    time.Time // the actor's clock; never used for order
	RecordedAt    time.Time // the store's clock
	Position      uint64
}

// ActivityOf returns the entry that an event makes. Action and entity are those
// of its record, see [FromEvent] with the zero [Config]: an explicit activity
// has its own.
func ActivityOf(e event.Event) Activity {
	a := Activity{
		EventID: e.ID, EventType: e.Type,
		TenantID: e.TenantID, ActorID: actorOf(e), CorrelationID: e.CorrelationID,
		OccurredAt: event.Time(e.OccurredAt), RecordedAt: event.Time(e.RecordedAt), Position: e.Position,
	}
	if record, explicit := appended(e); explicit {
		a.Action, a.Entity = record.d.Action, record.d.Entity
		return a
	}
	a.Action = ActionOf(e)
	a.Entity = EntityRef{Type: e.AggregateType, ID: e.AggregateID.String(), Version: e.AggregateVersion}
	return a
}

// ActiveActor is an actor who did something. Actors of different tenants are
// different, even if their ids are equal.
type ActiveActor struct {
	TenantID event.TenantID
	ActorID  event.ActorID
	Count    uint64    // how many activities the query found
	Last     uint64    // position of the last of them
	LastAt   time.Time // when that one occurred, by the actor's clock
}

// ActivityQuery selects activities. The zero value is all of them, most recent
// first. Conditions are combined with "and".
type ActivityQuery struct {
	Page

	TenantID      event.TenantID
	ActorID       event.ActorID
	OccurredFrom  time.Time // inclusive, by the actor's clock
	OccurredUntil time.Time // exclusive
}

// Validate refuses what no activity can match. The error names the field.
func (q ActivityQuery) Validate() error {
	if err := validateView(q.Page, q.TenantID); err != nil {
		return err
	}
	return q.ActorID.Validate()
}

// Matches reports whether a meets every condition. The limit is not looked at.
func (q ActivityQuery) Matches(a Activity) bool {
	return q.Contains(a.Position) &&
		(q.TenantID == "" || a.TenantID == q.TenantID) &&
		(q.ActorID == "" || a.ActorID == q.ActorID) &&
		within(a.OccurredAt, q.OccurredFrom, q.OccurredUntil)
}

// ActivityFinder answers queries for activities. As to blocking, breaks and
// errors its sequences are like those of [Finder].
type ActivityFinder interface {
	// FindActivities yields the activities that match query.
	FindActivities(ctx context.Context, query ActivityQuery) iter.Seq2[Activity, error]
	// FindActors yields the actors of the activities that match query, whoever
	// acted last, by position, first; query.Limit bounds the actors, not their
	// activities.
	FindActors(ctx context.Context, query ActivityQuery) iter.Seq2[ActiveActor, error]
}

// ActivityHome is where the feeds of all actors are kept. Homes also have the
// methods of [ActivityReader].
//
// Every home makes these promises:
//
//  1. Complete. Every event becomes one entry in the feed of its actor, at
//     the event's position, as [ActivityOf] derives it. Whoever was not named
//     is anonymous.
//  2. Idempotent. An event that is applied again changes nothing. A different
//     entry in the place of a stored one is refused with [ErrImmutable].
//  3. Order is by position, never by time, however late an event was applied.
//  4. Queries are exact. Conditions are combined with "and"; actors whose ids
//     differ by case, trailing space or Unicode form are different.
//  5. Pages are stable. With the last position as cursor every entry is seen
//     once while others are appended. A sequence shows nothing that is
//     appended after its first entry.
//  6. Active actors are those with a matching entry, whoever acted last
//     first, each with how many entries matched. Times are compared as times.
//  7. Streaming. A break releases everything; an error is yielded once and
//     ends the sequence; an ended context ends it.
//  8. Replay. After a reset, which leaves no entry behind, and a replay of the
//     same events the feeds are what they were.
//  9. Tenants. A query for a tenant sees that tenant's entries and no others;
//     a reader bound to one fails closed. Equal actor ids of two tenants are
//     two actors.
//
// Finding is safe for concurrent use, also with one Apply or Reset.
type ActivityHome interface {
	projection.Projection
	ActivityFinder
}

// CountActors groups activities, in whatever order they come, as FindActors
// does: for homes that cannot group. It holds one entry for each actor.
func CountActors(activities iter.Seq2[Activity, error], page Page) iter.Seq2[ActiveActor, error] {
	return func(yield func(ActiveActor, error) bool) {
		actors, err := countActors(activities)
		if err != nil {
			yield(ActiveActor{}, err)
			return
		}
		list(actors, page, yield)
	}
}

func countActors(activities iter.Seq2[Activity, error]) ([]ActiveActor, error) {
	type key struct {
		tenant event.TenantID
		actor  event.ActorID
	}
	var actors []ActiveActor
	place := make(map[key]int)
	for a, err := range activities {
		if err != nil {
			return nil, err
		}
		i, known := place[key{a.TenantID, a.ActorID}]
		if !known {
			i = len(actors)
			place[key{a.TenantID, a.ActorID}] = i
			actors = append(actors, ActiveActor{TenantID: a.TenantID, ActorID: a.ActorID})
		}
		actors[i].Count++
		if a.Position > actors[i].Last {
			actors[i].Last, actors[i].LastAt = a.Position, a.OccurredAt
		}
	}
	slices.SortFunc(actors, func(a, b ActiveActor) int { return cmp.Compare(b.Last, a.Last) })
	return actors, nil
}
