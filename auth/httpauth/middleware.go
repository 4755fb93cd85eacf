package httpauth

import (
	"context"
	"net/http"
	"net/textproto"
	"slices"

	"go.uber.org/zap"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// Headers that are read, besides Authorization, User-Agent and, from trusted
// proxies, X-Forwarded-For. No other header says who acts.
const (
	HeaderAPIKey      = "X-API-Key" //nolint:gosec // the name of a header.
	HeaderRequestID   = "X-Request-Id"
	HeaderTraceparent = "Traceparent"
)

// Config is how a [Middleware] lets requests in. See [auth.GateConfig] for what
// the fields of the same name mean.
type Config struct {
	Bearer         auth.Authenticator
	APIKey         auth.Authenticator
	Recorder       *auth.Recorder // required
	AllowAnonymous bool
	TrustedProxies auth.Proxies
	Logger         *zap.Logger

	// APIKeyHeader is the header of API keys. Default [HeaderAPIKey].
	APIKeyHeader string
	// Realm is what WWW-Authenticate calls the service. Default "api".
	Realm string
}

// Validate checks that everything required is there. The error names the field.
func (c Config) Validate() error {
	if err := c.gate().Validate(); err != nil {
		return err
	}
	for i, letter := range c.APIKeyHeader {
		if !tokenRune(letter) {
			return &event.InvalidError{Field: "api_key_header", Reason: "must be the name of a header"}
		}
		if i >= event.MaxNameBytes {
			return &event.InvalidError{Field: "api_key_header", Reason: "is too long"}
		}
	}
	if slices.Contains([]string{"Authorization", "User-Agent", "X-Forwarded-For", HeaderRequestID, HeaderTraceparent}, textproto.CanonicalMIMEHeaderKey(c.APIKeyHeader)) {
		return &event.InvalidError{Field: "api_key_header", Value: c.APIKeyHeader, Reason: "must not be a header that means something else: the credential would be written down"}
	}
	if quoted(c.Realm) != c.Realm {
		return &event.InvalidError{Field: "realm", Reason: "must be printable ASCII without quotes and backslashes"}
	}
	return nil
}

func (c Config) gate() auth.GateConfig {
	return auth.GateConfig{
		Bearer: c.Bearer, APIKey: c.APIKey, Recorder: c.Recorder,
		AllowAnonymous: c.AllowAnonymous, TrustedProxies: c.TrustedProxies, Logger: c.Logger,
	}
}

// Middleware lets requests in, or answers them. It is safe for concurrent use.
type Middleware struct {
	gate   *auth.Gate
	config Config
}

// New returns a middleware. The error names the field of the config.
func New(config Config) (*Middleware, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	gate, err := auth.NewGate(config.gate())
	if err != nil {
		return nil, err // Validate has checked it.
	}
	if config.APIKeyHeader == "" {
		config.APIKeyHeader = HeaderAPIKey
	}
	config.APIKeyHeader = textproto.CanonicalMIMEHeaderKey(config.APIKeyHeader)
	if config.Realm == "" {
		config.Realm = "api"
	}
	return &Middleware{gate: gate, config: config}, nil
}

// Handler returns a handler that calls next only for requests that are let in:
// those with a valid credential, and those without any if that is allowed.
//
// Others are answered with 401 and WWW-Authenticate; with 503 if a credential
// cannot be checked now, or if its failure cannot be recorded. Answers are
// problems (RFC 9457). Every answer has the request's id in X-Request-Id.
func (m *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := m.enter(r.Context(), r)
		r = r.WithContext(ctx)
		w.Header().Set(HeaderRequestID, auth.RequestFrom(ctx).ID)
		if err != nil {
			WriteProblem(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

type passedKey struct{}

// passed is what the middleware has found, for those who ask again.
type passed struct {
	middleware *Middleware
	challenges []string
}

func (m *Middleware) enter(ctx context.Context, r *http.Request) (context.Context, error) {
	ctx = context.WithValue(ctx, passedKey{}, passed{middleware: m, challenges: m.challenges()})
	return m.gate.Enter(ctx, auth.Arrival{
		Peer:        r.RemoteAddr,
		Forwarded:   r.Header.Values("X-Forwarded-For"),
		RequestID:   r.Header.Values(HeaderRequestID),
		Traceparent: r.Header.Values(HeaderTraceparent),
		UserAgent:   r.UserAgent(),
	}, auth.Presented{
		Authorization: r.Header.Values("Authorization"),
		APIKey:        m.apiKeys(r),
	})
}

// apiKeys returns nothing if API keys are not used here: such a header may
// mean something to somebody else.
func (m *Middleware) apiKeys(r *http.Request) []string {
	if m.config.APIKey == nil {
		return nil
	}
	return r.Header.Values(m.config.APIKeyHeader)
}

// Principal returns who sent r. If r has come through [Middleware.Handler] that
// is known; else its credentials are verified, and a failure is recorded.
// Nobody, anonymous callers included, is an error that matches
// [auth.ErrUnauthenticated].
func (m *Middleware) Principal(r *http.Request) (auth.Principal, error) {
	ctx := r.Context()
	if before, ok := ctx.Value(passedKey{}).(passed); !ok || before.middleware != m {
		entered, err := m.enter(r.Context(), r)
		if err != nil {
			return auth.Principal{}, err
		}
		ctx = entered
	}
	p, ok := auth.From(ctx)
	if !ok {
		return auth.Principal{}, &auth.CredentialError{Reason: auth.Missing}
	}
	return p, nil
}

// RequirePrincipal calls next only for callers who are somebody. Others are
// answered with 401. It stands behind [Middleware.Handler] with
// [Config.AllowAnonymous], in front of what is not for everybody.
func RequirePrincipal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := auth.From(r.Context()); !ok {
			WriteProblem(w, r, &auth.CredentialError{Reason: auth.Missing})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// RequirePermission returns a middleware that calls the next handler only for
// callers who have the permission. Others are answered with 403, or 401 if they
// are nobody, and recorded. It stands behind [Middleware.Handler].
func RequirePermission(permission auth.Permission) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := auth.Require(r.Context(), permission); err != nil {
				WriteProblem(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Logger returns the config's logger with the fields of the request that ctx
// belongs to: actor_id, on_behalf_of, tenant_id, request_id, correlation_id.
func Logger(ctx context.Context) *zap.Logger { return auth.Logger(ctx) }
