package audit

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Replay returns a log that is stored nowhere: each query reads the events
// anew and derives their records. It is what a stored log must be equal to, see
// [Compare], and answers a rare question without any projection. Conditions
// that the event store knows are evaluated there, the others here.
func Replay(events eventstore.Store, config Config) Reader {
	return NewReader(replay{events: events, config: config.withDefaults()})
}

type replay struct {
	events eventstore.Store
	config Config
}

// Find implements [Finder].
func (r replay) Find(ctx context.Context, query Query) iter.Seq2[ActivityRecord, error] {
	selection, possible := selectEvents(query.Page, query.TenantID, query.ActorID)
	if !possible {
		return func(func(ActivityRecord, error) bool) {}
	}
	selection.CorrelationID = query.CorrelationID
	selection.OccurredFrom, selection.OccurredUntil = query.OccurredFrom, query.OccurredUntil
	if query.EventType != "" {
		selection.Types = []string{query.EventType}
	}
	derive := func(e event.Event) (ActivityRecord, error) { return FromEvent(e, r.config) }
	return derived(r.about(ctx, selection, query), derive, query.Matches, query.Limit)
}

// about reads the events of a selection that may be about the entity of a
// query: those of the aggregate, and explicit activities, which may be about
// anything.
func (r replay) about(ctx context.Context, selection eventstore.Query, query Query) iter.Seq2[event.Event, error] {
	if query.EntityID == "" {
		if query.EntityType != "" {
			selection.AggregateTypes = []string{query.EntityType, ActivityStream}
		}
		return r.events.ReadAll(ctx, selection)
	}
	explicit := selection
	explicit.AggregateTypes = []string{ActivityStream}
	id, err := uuid.Parse(query.EntityID)
	if err != nil { // no aggregate has that id
		return r.events.ReadAll(ctx, explicit)
	}
	selection.AggregateID = id
	return interleave(r.events.ReadAll(ctx, selection), r.events.ReadAll(ctx, explicit), query.OldestFirst)
}

// FindActions implements [Finder].
func (r replay) FindActions(ctx context.Context, query ActionQuery) iter.Seq2[ActionUse, error] {
	page := query.Page
	query.Limit = 0
	return GroupActions(r.Find(ctx, Query{Page: query.Page, TenantID: query.TenantID}), page)
}

// ReplayActivities is [Replay] for the feeds of actors.
func ReplayActivities(events eventstore.Store) ActivityReader {
	return NewActivityReader(activityReplay{events: events})
}

type activityReplay struct{ events eventstore.Store }

// FindActivities implements [ActivityFinder].
func (r activityReplay) FindActivities(ctx context.Context, query ActivityQuery) iter.Seq2[Activity, error] {
	selection, possible := selectEvents(query.Page, query.TenantID, query.ActorID)
	selection.OccurredFrom, selection.OccurredUntil = query.OccurredFrom, query.OccurredUntil
	if !possible {
		return func(func(Activity, error) bool) {}
	}
	derive := func(e event.Event) (Activity, error) { return ActivityOf(e), nil }
	return derived(r.events.ReadAll(ctx, selection), derive, query.Matches, query.Limit)
}

// FindActors implements [ActivityFinder].
func (r activityReplay) FindActors(ctx context.Context, query ActivityQuery) iter.Seq2[ActiveActor, error] {
	page := query.Page
	query.Limit = 0
	return CountActors(r.FindActivities(ctx, query), page)
}

// selectEvents returns what to ask an event store for, and whether the page can
// have anything at all. Events of nobody cannot be asked for: they are sorted
// out here, with those of the anonymous.
func selectEvents(page Page, tenant event.TenantID, actor event.ActorID) (selection eventstore.Query, possible bool) {
	if page.Before == 1 {
		return eventstore.Query{}, false
	}
	selection = eventstore.Query{After: page.After, TenantID: tenant, Direction: eventstore.Backward}
	if page.Before > 0 {
		selection.Until = page.Before - 1
	}
	if page.OldestFirst {
		selection.Direction = eventstore.Forward
	}
	if actor != event.Anonymous {
		selection.ActorID = actor
	}
	return selection, true
}

// derived yields what becomes of events, as far as it matches.
func derived[T any](events iter.Seq2[event.Event, error], derive func(event.Event) (T, error), matches func(T) bool, limit int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		left := limit
		for e, err := range events {
			var item T
			if err == nil {
				item, err = derive(e)
			}
			if err != nil {
				yield(*new(T), err)
				return
			}
			if !matches(item) {
				continue
			}
			if !yield(item, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// interleave yields the events of two reads in the order of their positions,
// each once. An error ends it.
func interleave(a, b iter.Seq2[event.Event, error], oldestFirst bool) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		left, right := startWalk(a), startWalk(b)
		defer left.stop()
		defer right.stop()
		for left.ok || right.ok {
			next, other := left, right
			if !left.ok || right.ok && left.err == nil && right.err == nil && (right.item.Position < left.item.Position) == oldestFirst {
				next, other = right, left
			}
			e, err := next.item, next.err
			if other.ok && other.err == nil && other.item.Position == e.Position {
				other.advance()
			}
			if !yield(e, err) || err != nil {
				return
			}
			next.advance()
		}
	}
}
