package audit

import (
	"context"
	"iter"
	"time"

	"github.com/evident-go/evident/event"
)

// ActivityReader asks the feeds of actors the usual questions. Homes have its
// methods. It is a small value and safe for concurrent use.
type ActivityReader struct{ finder ActivityFinder }

// NewActivityReader returns a reader of a home, for those who write homes.
func NewActivityReader(finder ActivityFinder) ActivityReader { return ActivityReader{finder: finder} }

// FindActivities implements [ActivityFinder].
func (r ActivityReader) FindActivities(ctx context.Context, query ActivityQuery) iter.Seq2[Activity, error] {
	if err := query.Validate(); err != nil {
		return failed[Activity](err)
	}
	return r.finder.FindActivities(ctx, query)
}

// FindActors implements [ActivityFinder].
func (r ActivityReader) FindActors(ctx context.Context, query ActivityQuery) iter.Seq2[ActiveActor, error] {
	if err := query.Validate(); err != nil {
		return failed[ActiveActor](err)
	}
	return r.finder.FindActors(ctx, query)
}

// ByActor yields an actor's feed, most recent first, [FeedLimit] entries if
// page has no limit. [event.Anonymous] has a feed, too.
func (r ActivityReader) ByActor(ctx context.Context, actor event.ActorID, page Page) iter.Seq2[Activity, error] {
	if err := required("actor_id", actor == ""); err != nil {
		return failed[Activity](err)
	}
	return r.FindActivities(ctx, ActivityQuery{Page: page.orLimit(FeedLimit), ActorID: actor})
}

// ActiveSince yields the actors who did something at or after a time, by their
// own clocks, whoever acted last first.
func (r ActivityReader) ActiveSince(ctx context.Context, since time.Time) iter.Seq2[ActiveActor, error] {
	return r.FindActors(ctx, ActivityQuery{OccurredFrom: since})
}

// AsOf returns a view that ends at a position, as [Reader.AsOf] does.
func (r ActivityReader) AsOf(position uint64) ActivityReader {
	return r.restricted(endingAt(position))
}

// ForTenant returns a view that belongs to one tenant, as [Reader.ForTenant] does.
func (r ActivityReader) ForTenant(tenant event.TenantID) ActivityReader {
	return r.restricted(belongingTo(func(context.Context) event.TenantID { return tenant }))
}

// RequireTenant returns a view that belongs to the tenant of each call's
// context, as [Reader.RequireTenant] does.
func (r ActivityReader) RequireTenant() ActivityReader {
	return r.restricted(belongingTo(event.TenantFrom))
}

func (r ActivityReader) restricted(by restriction) ActivityReader {
	return NewActivityReader(restrictedActivity{r, by})
}

// restrictedActivity narrows each query, or refuses it.
type restrictedActivity struct {
	finder   ActivityFinder
	restrict restriction
}

// FindActivities implements [ActivityFinder].
func (r restrictedActivity) FindActivities(ctx context.Context, query ActivityQuery) iter.Seq2[Activity, error] {
	if err := r.restrict(ctx, &query.Page, &query.TenantID); err != nil {
		return failed[Activity](err)
	}
	return r.finder.FindActivities(ctx, query)
}

// FindActors implements [ActivityFinder].
func (r restrictedActivity) FindActors(ctx context.Context, query ActivityQuery) iter.Seq2[ActiveActor, error] {
	if err := r.restrict(ctx, &query.Page, &query.TenantID); err != nil {
		return failed[ActiveActor](err)
	}
	return r.finder.FindActors(ctx, query)
}
