package httpauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Problem is the body of an answer that refuses (RFC 9457).
type Problem struct {
	Type      string `json:"type"` // "about:blank": Status and Code say it all
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// The codes of problems.
const (
	CodeUnauthenticated   = "unauthenticated"    // 401
	CodeInsufficientScope = "insufficient-scope" // 403
	CodeNotFound          = "not-found"          // 404
	CodeInvalid           = "invalid"            // 400: the detail names the field
	CodeConflict          = "conflict"           // 409: somebody else was faster
	CodeTooLarge          = "too-large"          // 413: the detail names the field
	CodeLogUnavailable    = "log-unavailable"    // 503: the refusal could not be recorded
	CodeUnavailable       = "unavailable"        // 503: credentials cannot be checked now, or the store does not answer
	CodeInternal          = "internal"           // 500
)

// retryAfter is how many seconds a client is asked to wait after a 503.
const retryAfter = "5"

// ProblemOf says how an error of this module is answered. It tells a caller why
// a credential was refused in one of a few fixed words, and of an error that it
// does not know nothing at all.
func ProblemOf(err error) Problem {
	denied, isDenied := errors.AsType[*auth.DeniedError](err)
	switch {
	case errors.Is(err, auth.ErrNotRecorded):
		return problem(http.StatusServiceUnavailable, CodeLogUnavailable, "The request cannot be answered now.")
	case errors.Is(err, auth.ErrUnauthenticated):
		return problem(http.StatusUnauthorized, CodeUnauthenticated, explain(err))
	case isDenied && denied.Permission != "":
		return problem(http.StatusForbidden, CodeInsufficientScope, "The permission "+string(denied.Permission)+" is missing.")
	case errors.Is(err, auth.ErrDenied):
		return problem(http.StatusForbidden, CodeInsufficientScope, "You may not do this.")
	case errors.Is(err, aggregate.ErrNotFound):
		return problem(http.StatusNotFound, CodeNotFound, "There is no such thing.")
	case errors.Is(err, auth.ErrUnavailable):
		return problem(http.StatusServiceUnavailable, CodeUnavailable, "Credentials cannot be checked now.")
	default:
		return storeProblem(err)
	}
}

// storeProblem says how an error of storing something is answered.
func storeProblem(err error) Problem {
	invalid, isInvalid := errors.AsType[*event.InvalidError](err)
	tooLarge, isTooLarge := errors.AsType[*event.TooLargeError](err)
	switch {
	case isInvalid:
		return problem(http.StatusBadRequest, CodeInvalid, invalid.Error())
	case isTooLarge:
		return problem(http.StatusRequestEntityTooLarge, CodeTooLarge, tooLarge.Error())
	case errors.Is(err, eventstore.ErrConflict), errors.Is(err, aggregate.ErrContention):
		return problem(http.StatusConflict, CodeConflict, "Somebody else has changed it. Look at it again.")
	case eventstore.IsRetryable(err):
		return problem(http.StatusServiceUnavailable, CodeUnavailable, "The request cannot be answered now.")
	default:
		return problem(http.StatusInternalServerError, CodeInternal, "")
	}
}

func problem(status int, code, detail string) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func explain(err error) string {
	refused, ok := errors.AsType[*auth.CredentialError](err)
	switch {
	case !ok:
		return "The credential was refused."
	case refused.Reason == auth.Missing:
		return "A credential is needed."
	default:
		return "The credential was refused: " + strings.ReplaceAll(string(refused.Reason), "_", " ") + "."
	}
}

// WriteProblem answers r with [ProblemOf] err, with WWW-Authenticate where it
// belongs. What the answer does not say goes to the context's [Logger].
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(err)
	p.RequestID = auth.RequestFrom(r.Context()).ID
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	switch p.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		challenge(header, r, p, err)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfter)
	}
	logger := Logger(r.Context())
	if p.Status >= http.StatusInternalServerError {
		logger.Error("request failed", zap.Error(err))
	} else {
		logger.Info("request refused", zap.Int("status", p.Status), zap.Error(err))
	}
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		logger.Debug("client is gone", zap.Error(err))
	}
}

// challenges are what a caller can present, for WWW-Authenticate.
func (m *Middleware) challenges() []string {
	var list []string
	if m.config.Bearer != nil {
		list = append(list, `Bearer realm="`+m.config.Realm+`"`)
	}
	if m.config.APIKey != nil {
		list = append(list, `ApiKey realm="`+m.config.Realm+`", header="`+m.config.APIKeyHeader+`"`)
	}
	return list
}

// challenge writes WWW-Authenticate (RFC 9110 §11.6.1, RFC 6750 §3).
func challenge(header http.Header, r *http.Request, p Problem, err error) {
	challenges := []string{"Bearer"}
	if before, ok := r.Context().Value(passedKey{}).(passed); ok {
		challenges = before.challenges
	}
	header.Del("WWW-Authenticate")
	for _, c := range challenges {
		if strings.HasPrefix(c, "Bearer") {
			c += bearerError(p, err)
		} else if p.Status == http.StatusForbidden {
			continue // another key of the same kind would not help to know of
		}
		header.Add("WWW-Authenticate", c)
	}
}

func bearerError(p Problem, err error) string {
	denied, isDenied := errors.AsType[*auth.DeniedError](err)
	refused, isRefused := errors.AsType[*auth.CredentialError](err)
	switch {
	case isRefused && refused.Reason == auth.Missing: // RFC 6750 §3.1: no error code
		return ""
	case p.Status == http.StatusUnauthorized:
		return `, error="invalid_token", error_description="` + quoted(p.Detail) + `"`
	case isDenied && denied.Permission != "":
		return `, error="insufficient_scope", scope="` + quoted(string(denied.Permission)) + `"`
	default:
		return ""
	}
}

// quoted leaves out what a quoted text of a header cannot have.
func quoted(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}
