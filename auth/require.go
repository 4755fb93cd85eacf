package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Require reports whether whoever acts in ctx has the permission. Errors:
// [*DeniedError]; one that matches [ErrUnauthenticated] if nobody acts; and
// [*RecordError].
//
// A denial is recorded by the recorder that ctx carries ([WithRecorder]), which
// transports put there.
func Require(ctx context.Context, permission Permission) error {
	p, _ := From(ctx)
	return Check(ctx, p, permission)
}

// Check is [Require] for a principal that is given as an argument.
func Check(ctx context.Context, p Principal, permission Permission) error {
	if p.ActorID != "" && p.Can(permission) {
		return nil
	}
	denied := p.denied(fmt.Sprintf("lacks the permission %s", permission))
	denied.Permission = permission
	if permission == "" {
		denied.Reason = "no permission was named"
	}
	return RecorderFrom(ctx).refuse(ctx, denied, denied.answer())
}

func (p Principal) denied(reason string) *DeniedError {
	d := &DeniedError{ActorID: p.ActorID, OnBehalfOf: p.OnBehalfOf, TenantID: p.TenantID, Reason: reason}
	if d.ActorID == "" {
		d.ActorID = event.Anonymous
	}
	return d
}

func (p Principal) deniedFor(entity audit.EntityRef, reason string) *DeniedError {
	d := p.denied(reason)
	d.Entity = entity
	return d
}

// answer is what a denied caller gets: whoever is nobody has to log in first.
func (e *DeniedError) answer() error {
	if e.ActorID == event.Anonymous {
		return &CredentialError{Reason: Missing, Err: errors.New(e.Reason)}
	}
	return e
}
