package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
)

// MaxCredentialBytes bounds a credential with its scheme.
const MaxCredentialBytes = 8 << 10

// Kinds of credential, as records name them if nobody could read them.
const (
	KindBearer = "bearer"
	KindAPIKey = "api_key"
)

// GateConfig is how a [Gate] lets callers in.
type GateConfig struct {
	// Bearer verifies tokens ("Authorization: Bearer …"). [Chain] takes several.
	Bearer Authenticator
	// APIKey verifies API keys. One of the two is required.
	APIKey Authenticator
	// Recorder records refusals. Required.
	Recorder *Recorder
	// AllowAnonymous lets callers in who present nothing. They act as
	// [event.Anonymous]. One that presents something wrong is refused all the same.
	AllowAnonymous bool
	// TrustedProxies are the proxies whose X-Forwarded-For is believed. Default: none.
	TrustedProxies Proxies
	// Logger is what [Logger] gives, with the actor. Default: none.
	Logger *zap.Logger
}

// Validate checks that everything required is there. The error names the field.
func (c GateConfig) Validate() error {
	if c.Bearer == nil && c.APIKey == nil {
		return &event.InvalidError{Field: "bearer", Reason: "must be given, or api_key: without an authenticator nobody is let in"}
	}
	if c.Recorder == nil {
		return &event.InvalidError{Field: "recorder", Reason: "must be given: refusals are recorded"}
	}
	for i, network := range c.TrustedProxies {
		if !network.IsValid() {
			return &event.InvalidError{Field: fmt.Sprintf("trusted_proxies[%d]", i), Reason: "is not a network"}
		}
	}
	return nil
}

// Presented is what a caller presents: all values of each header.
type Presented struct {
	Authorization []string
	APIKey        []string
}

// Gate decides who is let in, in the same way for every transport:
//
//  1. What the request says of itself is put into the context as far as it is
//     well-formed ([Arrival]), and the recorder and the logger with it.
//  2. There must be exactly one credential, of a kind that is configured, at
//     most [MaxCredentialBytes] long. Nothing else that a client sends is
//     looked at: not a body, not a query, not a header with an actor's name.
//  3. A credential that is refused is recorded, and the caller is refused; it
//     is never let in as anonymous. If it cannot be recorded, the error is a
//     [*RecordError].
//  4. Whoever is let in acts from then on ([With]).
//
// A Gate is safe for concurrent use.
type Gate struct{ config GateConfig }

// NewGate returns a gate. The error names the field.
func NewGate(config GateConfig) (*Gate, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = zap.NewNop()
	}
	return &Gate{config: config}, nil
}

// Enter returns the context of a request. The context is usable beside an
// error, too: it names the request, and nobody.
//
// Errors: one that matches [ErrUnauthenticated], [*RecordError], and one that
// matches [ErrUnavailable] when the authenticator cannot tell.
func (g *Gate) Enter(ctx context.Context, arrival Arrival, presented Presented) (context.Context, error) {
	ctx = event.WithActor(With(ctx, Principal{}), event.Anonymous) // whoever was there before is gone
	ctx = arrival.enter(ctx, g.config.TrustedProxies)
	ctx = WithLogger(WithRecorder(ctx, g.config.Recorder), g.config.Logger)
	p, err := g.authenticate(ctx, presented)
	switch {
	case err == nil:
		return With(ctx, p), nil
	case isMissing(err) && g.config.AllowAnonymous:
		return ctx, nil
	default:
		return ctx, err
	}
}

func isMissing(err error) bool {
	refused, ok := errors.AsType[*CredentialError](err)
	return ok && refused.Reason == Missing
}

func (g *Gate) authenticate(ctx context.Context, presented Presented) (Principal, error) {
	kind, p, err := g.verify(ctx, presented)
	switch {
	case err == nil:
		return p, nil
	case kind == "": // nothing was presented: nothing failed
		return Principal{}, err
	case !errors.Is(err, ErrUnauthenticated):
		Logger(ctx).Error("credential could not be checked", zap.Error(err))
		return Principal{}, err
	}
	if failed := g.config.Recorder.Failed(ctx, kind, err); failed != nil {
		Logger(ctx).Error("failed authentication could not be recorded", zap.Error(failed))
		return Principal{}, &RecordError{Refusal: err, Err: failed}
	}
	return Principal{}, err
}

// verify returns the kind of what was presented, "" for nothing, and whose it is.
func (g *Gate) verify(ctx context.Context, presented Presented) (kind string, p Principal, err error) {
	kind, credential, err := g.pick(presented)
	if err != nil {
		return kind, Principal{}, err
	}
	authenticator := g.config.Bearer
	if kind == KindAPIKey {
		authenticator = g.config.APIKey
	}
	if authenticator == nil {
		return kind, Principal{}, &CredentialError{Reason: Scheme}
	}
	if p, err = authenticator.Authenticate(ctx, credential); err != nil {
		return kind, Principal{}, presentedError(err)
	}
	if err := p.Validate(); err != nil {
		return kind, Principal{}, &CredentialError{Reason: Claims, Err: err}
	}
	return kind, p, nil
}

// presentedError keeps an authenticator from calling a credential that was
// presented a missing one, which would let it in as anonymous. What is not a
// refusal means that it cannot tell.
func presentedError(err error) error {
	switch {
	case isMissing(err):
		return &CredentialError{Reason: Malformed, Err: err}
	case errors.Is(err, ErrUnauthenticated), errors.Is(err, ErrUnavailable):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// pick returns the one credential that was presented, and its kind.
func (g *Gate) pick(presented Presented) (kind, credential string, err error) {
	headers := len(presented.Authorization) + len(presented.APIKey)
	switch {
	case headers == 0:
		return "", "", &CredentialError{Reason: Missing}
	case headers > 1:
		return "several", "", &CredentialError{Reason: Ambiguous}
	case len(presented.APIKey) == 1:
		return KindAPIKey, presented.APIKey[0], checkText(presented.APIKey[0])
	}
	header := presented.Authorization[0]
	if err := checkText(header); err != nil {
		return KindBearer, "", err
	}
	scheme, credential, found := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "authorization", "", &CredentialError{Reason: Scheme}
	}
	credential = strings.TrimLeft(credential, " ")
	if !found || credential == "" {
		return KindBearer, "", &CredentialError{Reason: Malformed}
	}
	return KindBearer, credential, nil
}

// checkText refuses what no credential looks like, before anybody reads it.
func checkText(header string) error {
	if len(header) > MaxCredentialBytes {
		return &CredentialError{Reason: TooLarge}
	}
	if header == "" || strings.IndexFunc(header, func(r rune) bool { return r < 0x20 || r > 0x7e }) >= 0 {
		return &CredentialError{Reason: Malformed}
	}
	return nil
}
