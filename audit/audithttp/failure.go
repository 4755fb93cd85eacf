package audithttp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// problemOf says what an error means to the client.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if veto, ok := errors.AsType[*audit.VetoError](err); ok {
		return vetoed(veto)
	}
	switch {
	case errors.Is(err, audit.ErrImmutable):
		return refuse(codeIdempotencyConflict, "the key belongs to a request with another content")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &problem{code: codeTimeout, cause: err}
	case unavailable(err):
		return &problem{code: codeLogUnavailable, cause: err}
	case errors.Is(err, eventstore.ErrTenant):
		return &problem{code: codeTenantRequired, cause: err}
	case errors.Is(err, audit.ErrInvalid), errors.Is(err, audit.ErrTooLarge):
		p := refuse(codeInvalidField, "%s", plain(err))
		p.cause = err
		return p
	default:
		return &problem{code: codeInternal, cause: err}
	}
}

// unavailable reports whether a store does not do what it is asked for now.
func unavailable(err error) bool {
	return eventstore.IsRetryable(err) || errors.Is(err, eventstore.ErrConflict) || errors.Is(err, eventstore.ErrReadOnly) || errors.Is(err, eventstore.ErrClosed)
}

// vetoed tells the client why a hook refused, but not how one broke.
func vetoed(veto *audit.VetoError) *problem {
	if _, panicked := errors.AsType[*audit.PanicError](veto.Err); panicked {
		return &problem{code: codeInternal, cause: veto}
	}
	if errors.Is(veto.Err, context.DeadlineExceeded) || errors.Is(veto.Err, context.Canceled) {
		return &problem{code: codeTimeout, cause: veto}
	}
	return refuse(codeVetoed, "%s", clean(veto.Err.Error(), audit.MaxReasonBytes))
}

// plain returns what an error of a field says, without what is around it.
func plain(err error) string {
	if e, ok := errors.AsType[*event.InvalidError](err); ok {
		return clean(e.Error(), audit.MaxReasonBytes)
	}
	if e, ok := errors.AsType[*event.TooLargeError](err); ok {
		return clean(e.Error(), audit.MaxReasonBytes)
	}
	return ""
}

// fieldOf returns the field that an error names, "" if none.
func fieldOf(err error) string {
	if e, ok := errors.AsType[*event.InvalidError](err); ok {
		return e.Field
	}
	if e, ok := errors.AsType[*event.TooLargeError](err); ok {
		return e.Field
	}
	return ""
}

// panicked is a panic of something that the handler calls.
func panicked(value any) error { return fmt.Errorf("panic: %v", value) }

// clean returns as much of s as can be shown in one line.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
