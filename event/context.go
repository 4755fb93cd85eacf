package event

import (
	"context"
	"maps"

	"github.com/google/uuid"
)

// Origin is what a context says of where an action comes from. Events are
// stamped with it. The zero value says nothing.
type Origin struct {
	ActorID       ActorID
	TenantID      TenantID
	CorrelationID uuid.UUID // the chain of actions; uuid.Nil if a new one starts
	CausationID   uuid.UUID // the event that caused this; uuid.Nil if none
	Metadata      Metadata
	Reaction      *Reaction // whose reaction this is part of; nil if nobody's
}

type originKey struct{}

// OriginFrom returns what ctx carries. It is one look-up, however much was set.
func OriginFrom(ctx context.Context) Origin {
	if o, ok := ctx.Value(originKey{}).(*Origin); ok {
		return *o
	}
	return Origin{}
}

// WithOrigin returns a context that carries o instead of what ctx carried.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, &o)
}

// WithActor returns a context whose events are caused by actor. Set it in
// trusted code, from a verified identity, never from what a client sent.
func WithActor(ctx context.Context, actor ActorID) context.Context {
	o := OriginFrom(ctx)
	o.ActorID = actor
	return WithOrigin(ctx, o)
}

// WithTenant returns a context whose events belong to tenant.
func WithTenant(ctx context.Context, tenant TenantID) context.Context {
	o := OriginFrom(ctx)
	o.TenantID = tenant
	return WithOrigin(ctx, o)
}

// WithCorrelation returns a context whose events belong to the chain id.
func WithCorrelation(ctx context.Context, id uuid.UUID) context.Context {
	o := OriginFrom(ctx)
	o.CorrelationID = id
	return WithOrigin(ctx, o)
}

// WithCausation returns a context whose events were caused by the event id.
// [WithCause] is usually what is wanted: it sets the correlation too.
func WithCausation(ctx context.Context, id uuid.UUID) context.Context {
	o := OriginFrom(ctx)
	o.CausationID = id
	return WithOrigin(ctx, o)
}

// WithCause returns a context whose events were caused by cause: they share
// its correlation, and its id is their causation. The tenant is carried over
// when ctx names none.
func WithCause(ctx context.Context, cause Event) context.Context {
	o := OriginFrom(ctx)
	o.CorrelationID = cause.CorrelationID
	o.CausationID = cause.ID
	if o.TenantID == "" {
		o.TenantID = cause.TenantID
	}
	return WithOrigin(ctx, o)
}

// WithMetadata returns a context whose events carry m in addition to what ctx
// carried already; for equal keys m wins. m is copied.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	o := OriginFrom(ctx)
	merged := make(Metadata, len(o.Metadata)+len(m))
	maps.Copy(merged, o.Metadata)
	maps.Copy(merged, m)
	o.Metadata = merged
	return WithOrigin(ctx, o)
}

// ActorFrom returns the actor that ctx carries, or "" if none.
func ActorFrom(ctx context.Context) ActorID { return OriginFrom(ctx).ActorID }

// TenantFrom returns the tenant that ctx carries, or "" if none.
func TenantFrom(ctx context.Context) TenantID { return OriginFrom(ctx).TenantID }

// CorrelationFrom returns the correlation that ctx carries, or uuid.Nil if none.
func CorrelationFrom(ctx context.Context) uuid.UUID { return OriginFrom(ctx).CorrelationID }

// CausationFrom returns the causation that ctx carries, or uuid.Nil if none.
func CausationFrom(ctx context.Context) uuid.UUID { return OriginFrom(ctx).CausationID }

// MetadataFrom returns a copy of the metadata that ctx carries, or nil if none.
func MetadataFrom(ctx context.Context) Metadata { return maps.Clone(OriginFrom(ctx).Metadata) }
