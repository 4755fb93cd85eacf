package auth

import (
	"context"
	"maps"
	"slices"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Permission is something that one may be allowed to do, for example
// "task:create". Permissions are compared as they are written: there are no
// wildcards, and none contains another.
type Permission string

// Metadata keys of events that say how their actor was verified.
const (
	KeyMethod  = "auth_method"
	KeyToken   = "token_id"
	KeySession = "session_id"
)

// RoleAdmin is the role of administrators, unless a config says otherwise.
const RoleAdmin = "admin"

// Principal is a verified identity. The zero value is nobody. It is to be
// treated as read-only.
type Principal struct {
	ActorID     event.ActorID  // who acts
	TenantID    event.TenantID // "" for none
	Permissions []Permission
	Roles       []string
	OnBehalfOf  event.ActorID // whose rights the actor uses, "" for its own
	Method      string        // how it was verified: "jwt", "api_key"
	TokenID     string        // names the credential; never the credential itself
	SessionID   string
}

// Can reports whether p has the permission.
func (p Principal) Can(permission Permission) bool {
	return permission != "" && slices.Contains(p.Permissions, permission)
}

// Has reports whether p has the role.
func (p Principal) Has(role string) bool { return role != "" && slices.Contains(p.Roles, role) }

// Subject is whose rights count: of somebody who acts for another that is the
// other, else the actor.
func (p Principal) Subject() event.ActorID {
	if p.OnBehalfOf != "" {
		return p.OnBehalfOf
	}
	return p.ActorID
}

// Validate refuses a principal without an actor, an anonymous one, and ids
// that no event can carry. The error names the field.
func (p Principal) Validate() error {
	if p.ActorID == "" || p.ActorID == event.Anonymous {
		return &event.InvalidError{Field: "actor_id", Value: string(p.ActorID), Reason: "must name who acts"}
	}
	if err := p.ActorID.Validate(); err != nil {
		return err
	}
	if err := p.TenantID.Validate(); err != nil {
		return err
	}
	if err := p.OnBehalfOf.Validate(); err != nil {
		return &event.InvalidError{Field: "on_behalf_of", Reason: err.Error()}
	}
	return p.validateTexts()
}

func (p Principal) validateTexts() error {
	for _, text := range []struct{ field, value string }{
		{"method", p.Method}, {"token_id", p.TokenID}, {"session_id", p.SessionID},
	} {
		if err := event.ValidateText(text.field, text.value, audit.MaxRequestBytes); err != nil {
			return err
		}
	}
	return nil
}

type principalKey struct{}

// With returns a context in which p acts: events are stamped with its actor
// and its tenant, and their metadata say on whose behalf it acts and how it was
// verified. What ctx said of another principal is gone.
//
// Call it with what an [Authenticator] returned, never with what a client sent.
func With(ctx context.Context, p Principal) context.Context {
	p = p.clone()
	origin := event.OriginFrom(ctx)
	origin.ActorID, origin.TenantID = p.ActorID, p.TenantID
	origin.Metadata = p.metadata(origin.Metadata)
	return context.WithValue(event.WithOrigin(ctx, origin), principalKey{}, p)
}

func (p Principal) clone() Principal {
	p.Permissions, p.Roles = slices.Clone(p.Permissions), slices.Clone(p.Roles)
	return p
}

func (p Principal) metadata(before event.Metadata) event.Metadata {
	m := make(event.Metadata, len(before)+4)
	maps.Copy(m, before)
	for key, value := range map[string]string{
		audit.KeyOnBehalfOf: string(p.OnBehalfOf), KeyMethod: p.Method, KeyToken: p.TokenID, KeySession: p.SessionID,
	} {
		delete(m, key)
		if value != "" {
			m[key] = value
		}
	}
	return m
}

// From returns who acts in ctx, and whether anybody does.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok && p.ActorID != ""
}
