package eventstore

import (
	"context"
	"iter"

	"github.com/evident-go/evident/event"
)

// BindTenant returns a view of store that belongs to one tenant: it reads
// nothing of any other, refuses to append for any other, and does not see
// events that belong to no tenant. What is refused is a [*TenantError].
//
// The empty tenant is bound to nothing and refuses everything.
func BindTenant(store Store, tenant event.TenantID) Store {
	return &tenantGuard{Store: store, tenant: func(context.Context) event.TenantID { return tenant }}
}

// RequireTenant returns a view of store that belongs, call by call, to the
// tenant that the context carries ([event.WithTenant]). Without one every
// call is refused with a [*TenantError].
func RequireTenant(store Store) Store {
	return &tenantGuard{Store: store, tenant: event.TenantFrom}
}

type tenantGuard struct {
	Store

	tenant func(context.Context) event.TenantID
}

// Tenant returns the tenant that calls with ctx are bound to, "" if none. A
// repository asks for it, so that callers need not name the tenant twice.
func (g *tenantGuard) Tenant(ctx context.Context) event.TenantID { return g.tenant(ctx) }

// check fails closed: no bound tenant is as bad as another's.
func (g *tenantGuard) check(ctx context.Context, given event.TenantID) error {
	if bound := g.tenant(ctx); bound == "" || bound != given {
		return &TenantError{Bound: bound, Given: given}
	}
	return nil
}

// Append implements [Store].
func (g *tenantGuard) Append(ctx context.Context, appends ...Append) (Result, error) {
	for i := range appends {
		if err := g.check(ctx, appends[i].Stream.TenantID); err != nil {
			return Result{}, err
		}
	}
	return g.Store.Append(ctx, appends...)
}

// ReadStream implements [Store].
func (g *tenantGuard) ReadStream(ctx context.Context, stream Stream, query StreamQuery) iter.Seq2[event.Event, error] {
	if err := g.check(ctx, stream.TenantID); err != nil {
		return failed(err)
	}
	return g.Store.ReadStream(ctx, stream, query)
}

// ReadAll implements [Store]. A query that names no tenant means the bound one.
func (g *tenantGuard) ReadAll(ctx context.Context, query Query) iter.Seq2[event.Event, error] {
	if query.TenantID == "" {
		query.TenantID = g.tenant(ctx)
	}
	if err := g.check(ctx, query.TenantID); err != nil {
		return failed(err)
	}
	return g.Store.ReadAll(ctx, query)
}

// failed is a sequence that yields err once.
func failed(err error) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) { yield(event.Event{}, err) }
}
