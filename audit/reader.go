package audit

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// RecentLimit is how many records [Reader.Recent] yields if the page does not say.
const RecentLimit = 100

// Reader asks a log the usual questions, each of which is one Find. Homes have
// its methods. Records come most recent first, by position; pages without a
// limit are whole. A question about nobody or nothing in particular, such as an
// empty actor, is refused with [ErrInvalid] rather than answered with everything.
//
// It is a small value and safe for concurrent use.
type Reader struct{ finder Finder }

// NewReader returns a reader of a home, for those who write homes.
func NewReader(finder Finder) Reader { return Reader{finder: finder} }

// Find implements [Finder].
func (r Reader) Find(ctx context.Context, query Query) iter.Seq2[ActivityRecord, error] {
	if err := query.Validate(); err != nil {
		return failed[ActivityRecord](err)
	}
	return r.finder.Find(ctx, query)
}

// FindActions implements [Finder].
func (r Reader) FindActions(ctx context.Context, query ActionQuery) iter.Seq2[ActionUse, error] {
	if err := query.Validate(); err != nil {
		return failed[ActionUse](err)
	}
	return r.finder.FindActions(ctx, query)
}

// Actions yields every action that is in use, whatever was used last first.
func (r Reader) Actions(ctx context.Context, page Page) iter.Seq2[ActionUse, error] {
	return r.FindActions(ctx, ActionQuery{Page: page})
}

// Recent yields the most recent records, [RecentLimit] if page has no limit.
func (r Reader) Recent(ctx context.Context, page Page) iter.Seq2[ActivityRecord, error] {
	return r.Find(ctx, Query{Page: page.orLimit(RecentLimit)})
}

// ByActor yields what an actor did. [event.Anonymous] yields what was done by
// whoever was not named.
func (r Reader) ByActor(ctx context.Context, actor event.ActorID, page Page) iter.Seq2[ActivityRecord, error] {
	return r.ask(ctx, required("actor_id", actor == ""), Query{Page: page, ActorID: actor})
}

// ByOwner yields what was done to somebody's data.
func (r Reader) ByOwner(ctx context.Context, owner string, page Page) iter.Seq2[ActivityRecord, error] {
	return r.ask(ctx, required("owner_id", owner == ""), Query{Page: page, OwnerID: owner})
}

// ByAction yields every occurrence of an action.
func (r Reader) ByAction(ctx context.Context, action string, page Page) iter.Seq2[ActivityRecord, error] {
	return r.ask(ctx, required("action", action == ""), Query{Page: page, Action: action})
}

// ByEntity yields the history of an entity, through all versions: the one in
// the reference is not looked at.
func (r Reader) ByEntity(ctx context.Context, entity EntityRef, page Page) iter.Seq2[ActivityRecord, error] {
	return r.ask(ctx, entity.Validate(), Query{Page: page, EntityType: entity.Type, EntityID: entity.ID})
}

// ByAggregate is [Reader.ByEntity] for an aggregate whose type need not be known.
func (r Reader) ByAggregate(ctx context.Context, id uuid.UUID, page Page) iter.Seq2[ActivityRecord, error] {
	return r.ask(ctx, requiredID("aggregate_id", id), Query{Page: page, EntityID: id.String()})
}

// ByCorrelation yields everything that followed from one action; see also [Trace].
func (r Reader) ByCorrelation(ctx context.Context, correlation uuid.UUID, page Page) iter.Seq2[ActivityRecord, error] {
	return r.ask(ctx, requiredID("correlation_id", correlation), Query{Page: page, CorrelationID: correlation})
}

// Get returns one record. The error is a [*NotFoundError] if there is none, or
// none that this reader may see.
func (r Reader) Get(ctx context.Context, id uuid.UUID) (ActivityRecord, error) {
	for record, err := range r.ask(ctx, requiredID("id", id), Query{ID: id, Page: Page{Limit: 1}}) {
		return record, err
	}
	return ActivityRecord{}, &NotFoundError{ID: id}
}

func (r Reader) ask(ctx context.Context, bad error, query Query) iter.Seq2[ActivityRecord, error] {
	if bad != nil {
		return failed[ActivityRecord](bad)
	}
	return r.Find(ctx, query)
}

// AsOf returns a view that ends at a position: what is recorded above it is
// not seen. It keeps the pages of one answer, or the two sides of [Compare], at
// the same place while the log grows.
func (r Reader) AsOf(position uint64) Reader {
	return r.restricted(endingAt(position))
}

// ForTenant returns a view that belongs to one tenant: it sees no record of
// any other, and none that belongs to no tenant. A query that names another
// tenant is a [*eventstore.TenantError]. The empty tenant sees nothing: every
// query is refused.
func (r Reader) ForTenant(tenant event.TenantID) Reader {
	return r.restricted(belongingTo(func(context.Context) event.TenantID { return tenant }))
}

// RequireTenant is [Reader.ForTenant] with the tenant that each call's context
// carries ([event.WithTenant]). Without one every query is refused.
func (r Reader) RequireTenant() Reader { return r.restricted(belongingTo(event.TenantFrom)) }

func (r Reader) restricted(by restriction) Reader { return NewReader(restricted{r, by}) }

// restricted narrows each query, or refuses it.
type restricted struct {
	finder   Finder
	restrict restriction
}

// Find implements [Finder].
func (r restricted) Find(ctx context.Context, query Query) iter.Seq2[ActivityRecord, error] {
	if err := r.restrict(ctx, &query.Page, &query.TenantID); err != nil {
		return failed[ActivityRecord](err)
	}
	return r.finder.Find(ctx, query)
}

// FindActions implements [Finder].
func (r restricted) FindActions(ctx context.Context, query ActionQuery) iter.Seq2[ActionUse, error] {
	if err := r.restrict(ctx, &query.Page, &query.TenantID); err != nil {
		return failed[ActionUse](err)
	}
	return r.finder.FindActions(ctx, query)
}

// restriction narrows what every query has, or refuses the query.
type restriction func(ctx context.Context, page *Page, tenant *event.TenantID) error

func endingAt(position uint64) restriction {
	return func(_ context.Context, page *Page, _ *event.TenantID) error {
		*page = page.upTo(position)
		return nil
	}
}

func belongingTo(of func(context.Context) event.TenantID) restriction {
	return func(ctx context.Context, _ *Page, tenant *event.TenantID) (err error) {
		*tenant, err = bind(of(ctx), *tenant)
		return err
	}
}

// bind fails closed: no bound tenant is as bad as another's.
func bind(bound, given event.TenantID) (event.TenantID, error) {
	if bound == "" || given != "" && given != bound {
		return "", &eventstore.TenantError{Bound: bound, Given: given}
	}
	return bound, nil
}

// failed is a sequence that yields err once.
func failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		yield(zero, err)
	}
}
