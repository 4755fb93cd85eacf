package audithttp

import (
	"context"
	"errors"
	"fmt"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// admit finds out who asks and whether they may. Afterwards the request's
// context carries the principal.
func (x *exchange) admit() error {
	if x.route.public && !x.h.config.ProtectDocs {
		x.format = x.route.formats[0]
		return nil
	}
	who, err := x.authenticate()
	if err != nil {
		return err
	}
	x.who = who
	x.r = x.r.WithContext(auth.With(x.r.Context(), who))
	if err := x.limitRate(); err != nil {
		return err
	}
	if who.TenantID == "" && !x.h.config.WithoutTenants {
		return refuse(codeTenantRequired, "the principal belongs to no tenant")
	}
	scope := x.route.scope
	if x.route.public {
		scope = Read
	}
	if err := x.require(scope); err != nil {
		return err
	}
	return x.negotiate()
}

func (x *exchange) authenticate() (auth.Principal, error) {
	who, err := x.h.config.Authenticate(x.r)
	if err != nil {
		return auth.Principal{}, &problem{code: codeOfStranger(err), cause: err}
	}
	if err := who.Validate(); err != nil {
		return auth.Principal{}, &problem{code: codeUnauthenticated, cause: fmt.Errorf("principal of the authenticator: %w", err)}
	}
	return who, nil
}

// codeOfStranger says what an error of the authenticator means. A refusal that
// could not be recorded is none, whatever it wraps.
func codeOfStranger(err error) code {
	switch {
	case errors.Is(err, auth.ErrNotRecorded):
		return codeLogUnavailable
	case errors.Is(err, auth.ErrDenied):
		return codeInsufficientScope
	case errors.Is(err, auth.ErrUnavailable), unavailable(err):
		return codeUnavailable
	default:
		return codeUnauthenticated
	}
}

func (x *exchange) limitRate() error {
	if x.h.config.RateLimit == nil {
		return nil
	}
	if wait, ok := x.h.config.RateLimit(x.r, x.who); !ok {
		return &problem{code: codeRateLimited, retryAfter: wait}
	}
	return nil
}

// require refuses a principal without a permission. The recorder records the
// denial; if it cannot, nobody is told of one.
func (x *exchange) require(scope auth.Permission) error {
	err := auth.Check(x.recorded(), x.who, scope)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrNotRecorded):
		return &problem{code: codeLogUnavailable, cause: err}
	default:
		return refuse(codeInsufficientScope, "this needs the permission %s", scope)
	}
}

// recorded is the request's context with the recorder of its denials, and with
// what that reads of the request, whether a middleware has said it or not.
func (x *exchange) recorded() context.Context {
	said := x.request()
	ctx := event.WithMetadata(x.r.Context(), event.Metadata{
		audit.KeyRequest: said.ID, audit.KeyTraceparent: said.Traceparent,
		audit.KeySourceAddress: said.SourceAddress, audit.KeyUserAgent: said.UserAgent,
	})
	return auth.WithRecorder(ctx, x.h.config.Recorder)
}

// negotiate chooses the format of the answer.
func (x *exchange) negotiate() error {
	if x.route.public {
		x.format = x.route.formats[0]
		return nil
	}
	format, ok := x.accepted()
	if !ok {
		return refuse(codeNotAcceptable, "there is only %s", list(x.route.formats))
	}
	x.format = format
	if x.exports() {
		return x.require(Export)
	}
	return nil
}
