package aggregate

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// place is where an aggregate stands in its stream: all of it that does not
// depend on the state.
type place struct {
	home     *home // what the aggregate needs of its repository; nil for New
	id       uuid.UUID
	tenant   event.TenantID // of the stream, once it has events
	saved    uint64         // version of the last saved event
	last     uuid.UUID      // id of that event; uuid.Nil if it is not known
	position uint64         // of that event
	cost     loadCost
	call     *call // that an update is; nil if it is nobody's reaction
}

// loadCost is what it took to load an aggregate. Snapshots are taken by it.
type loadCost struct {
	base uint64 // version of the snapshot or cache entry that it began with
	took time.Duration
}

// ID returns the aggregate's id.
func (p *place) ID() uuid.UUID { return p.id }

// SavedVersion returns how many events the aggregate has, pending ones not
// included: what the next save expects of the store.
func (p *place) SavedVersion() uint64 { return p.saved }

// Position returns the store's position of the last event that the aggregate
// was loaded from or saved with, for example to wait until a projection has
// seen it. After [SaveAll], or a save that an append joined, it is the position
// of the last event of all. It is 0 for an aggregate that has no saved events.
func (p *place) Position() uint64 { return p.position }

func (p *place) at() *place { return p }

// settleTenant says for which tenant a stream is read or written, or events
// are emitted: the context's or the store's. An aggregate that has events
// belongs to the tenant that it has them from.
func (p *place) settleTenant(tenant event.TenantID) error {
	if p.saved > 0 && tenant != p.tenant {
		return &eventstore.TenantError{Bound: p.tenant, Given: tenant}
	}
	return nil
}

// follows reports whether e is the next event of the stream.
func (p *place) follows(stream eventstore.Stream, e *event.Event) error {
	got := eventstore.Stream{TenantID: e.TenantID, AggregateType: e.AggregateType, AggregateID: e.AggregateID}
	if got != stream || e.AggregateVersion != p.saved+1 {
		return &StreamError{Stream: stream, EventID: e.ID, Got: got, Version: e.AggregateVersion, Want: p.saved + 1}
	}
	return nil
}

// reached moves the place behind e.
func (p *place) reached(e *event.Event) {
	p.tenant, p.saved, p.last, p.position = e.TenantID, e.AggregateVersion, e.ID, e.Position
}

// confirms reports whether e is the event that the place claims to be at, so
// that what was built before is part of this history.
func (p *place) confirms(e *event.Event) bool {
	return e.AggregateVersion == p.saved && (p.last == uuid.Nil || p.last == e.ID)
}

// home is what aggregates and their repository share.
type home struct {
	store     eventstore.Store
	now       func() time.Time
	bound     tenanted   // nil for a store that is bound to no tenant
	cache     *cache     // nil without a cache
	snapshots *snapshots // nil without snapshots
}

// tenanted is what stores have that are bound to a tenant.
type tenanted interface {
	Tenant(ctx context.Context) event.TenantID
}

func tenantedStore(store eventstore.Store) tenanted {
	if bound, ok := store.(tenanted); ok {
		return bound
	}
	return nil
}

func (h *home) clock() time.Time {
	if h == nil {
		return time.Now() //nolint:forbidigo // made by New, without a repository that has a clock.
	}
	return h.now()
}

// tenantOr returns the tenant given, or else the one that the store is bound to.
func (h *home) tenantOr(ctx context.Context, tenant event.TenantID) event.TenantID {
	if tenant != "" || h == nil || h.bound == nil {
		return tenant
	}
	return h.bound.Tenant(ctx)
}
