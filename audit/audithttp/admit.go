package audithttp

import (
	"errors"
	"fmt"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
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
	switch {
	case errors.Is(err, auth.ErrDenied):
		return auth.Principal{}, &problem{code: codeInsufficientScope, cause: err}
	case err != nil && unavailable(err):
		return auth.Principal{}, &problem{code: codeLogUnavailable, cause: err}
	case err != nil:
		return auth.Principal{}, &problem{code: codeUnauthenticated, cause: err}
	}
	if err := who.Validate(); err != nil {
		return auth.Principal{}, &problem{code: codeUnauthenticated, cause: fmt.Errorf("principal of the authenticator: %w", err)}
	}
	return who, nil
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

// require refuses a principal without a permission, and records the denial.
func (x *exchange) require(scope auth.Permission) error {
	if x.who.Can(scope) {
		return nil
	}
	denial := x.draft(x.route.action)
	denial.Outcome, denial.Reason = audit.Denied, fmt.Sprintf("needs the permission %s", scope)
	if _, err := x.h.config.Log.Append(x.r.Context(), denial); err != nil {
		x.report(x.r.Context(), fmt.Errorf("record a denial: %w", err))
	}
	return refuse(codeInsufficientScope, "this needs the permission %s", scope)
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
