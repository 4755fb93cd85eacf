package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// Authenticator verifies tokens. It is an [auth.Authenticator], and safe for
// concurrent use.
type Authenticator struct {
	config Config
	parser *jwt.Parser
}

// New returns an authenticator. The error names the field of the config.
func New(config Config) (*Authenticator, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("jwtauth config: %w", err)
	}
	config.Algorithms, config.Audience = slices.Clone(config.Algorithms), slices.Clone(config.Audience)
	if keys, ok := config.Keys.(Keys); ok {
		config.Keys = slices.Clone(keys)
	}
	if config.Principal == nil {
		config.Principal = DefaultPrincipal
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Authenticator{config: config, parser: jwt.NewParser(
		jwt.WithValidMethods(config.Algorithms),
		jwt.WithIssuer(config.Issuer),
		jwt.WithAudience(config.Audience...),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(config.Leeway),
		jwt.WithTimeFunc(config.Now),
		jwt.WithStrictDecoding(),
	)}, nil
}

// Authenticate implements [auth.Authenticator]. Errors: [*auth.CredentialError],
// and one that matches [auth.ErrUnavailable] when the keys cannot be had.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (auth.Principal, error) {
	if len(token) > MaxTokenBytes {
		return auth.Principal{}, &auth.CredentialError{Reason: auth.TooLarge, Method: Method}
	}
	claims := jwt.MapClaims{}
	parsed, err := a.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) { return a.key(ctx, t) })
	if err != nil {
		return auth.Principal{}, a.refusal(parsed, err)
	}
	if err := a.young(claims); err != nil {
		return auth.Principal{}, a.refusal(parsed, err)
	}
	p, err := a.config.Principal(Claims(claims))
	if err == nil {
		if p.Method == "" {
			p.Method = Method
		}
		err = p.Validate()
	}
	if err != nil {
		return auth.Principal{}, unprincipled(parsed, err)
	}
	return p, nil
}

// unprincipled says what it means that a token that is good gives no principal:
// the claims are refused, unless the error says something else of itself.
func unprincipled(t *jwt.Token, err error) error {
	if errors.Is(err, auth.ErrUnavailable) {
		return err // the authenticator's own.
	}
	reason := auth.Claims
	if refused, ok := errors.AsType[*auth.CredentialError](err); ok {
		reason = refused.Reason
	}
	return refuse(reason, t, err)
}

var (
	errCritical  = errors.New("header has extensions that must be understood")
	errType      = errors.New("header names another type of token")
	errAlgorithm = errors.New("key belongs to another algorithm")
	errKeyID     = errors.New("header has a key id that is not a text")
)

// key finds the key that a token names, if it may be used for the token's
// algorithm. Keys inside of the token, or addresses of keys, are never used.
func (a *Authenticator) key(ctx context.Context, t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errCritical
	}
	if !usualType(t.Header["typ"]) {
		return nil, errType
	}
	id, ok := t.Header["kid"].(string)
	if _, named := t.Header["kid"]; named && !ok {
		return nil, errKeyID
	}
	key, err := a.config.Keys.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	if key.Algorithm != t.Method.Alg() {
		return nil, errAlgorithm
	}
	return key.Material, key.Validate()
}

// usualType takes tokens and access tokens; "application/" may be left out
// (RFC 7515 §4.1.9, RFC 9068 §4).
func usualType(typ any) bool {
	text, isText := typ.(string)
	text = strings.TrimPrefix(strings.ToLower(text), "application/")
	return typ == nil || isText && (text == "jwt" || text == "at+jwt")
}

func (a *Authenticator) young(claims jwt.MapClaims) error {
	if a.config.MaxAge == 0 {
		return nil
	}
	issued, err := claims.GetIssuedAt()
	if err != nil || issued == nil {
		return jwt.ErrTokenRequiredClaimMissing
	}
	if a.config.Now().Sub(issued.Time) > a.config.MaxAge+a.config.Leeway {
		return jwt.ErrTokenExpired
	}
	return nil
}

// refusal says in auth's words why a token was refused. What the token holds
// is not repeated, apart from the key's id.
func (a *Authenticator) refusal(t *jwt.Token, err error) error {
	for _, r := range []struct {
		cause  error
		reason auth.Reason
	}{
		{ErrUnknownKey, auth.UnknownKey},
		{errKeyID, auth.UnknownKey},
		{errAlgorithm, auth.Algorithm},
		{errCritical, auth.Malformed},
		{errType, auth.Malformed},
	} {
		if errors.Is(err, r.cause) {
			return refuse(r.reason, t, r.cause)
		}
	}
	if unsure(t, err) {
		return fmt.Errorf("%w: %w", auth.ErrUnavailable, err)
	}
	return refuse(a.reasonOf(t, err), t, nil)
}

// unsure reports whether the keys could not be had: the one thing that the
// parser calls unverifiable once it knows the algorithm.
func unsure(t *jwt.Token, err error) bool {
	return t != nil && t.Method != nil && errors.Is(err, jwt.ErrTokenUnverifiable)
}

func (a *Authenticator) reasonOf(t *jwt.Token, err error) auth.Reason {
	if t != nil && t.Method != nil && !slices.Contains(a.config.Algorithms, t.Method.Alg()) {
		return auth.Algorithm
	}
	for _, r := range []struct {
		cause  error
		reason auth.Reason
	}{
		{jwt.ErrTokenMalformed, auth.Malformed},
		{jwt.ErrTokenUnverifiable, auth.Algorithm},
		{jwt.ErrTokenExpired, auth.Expired},
		{jwt.ErrTokenNotValidYet, auth.NotYetValid},
		{jwt.ErrTokenUsedBeforeIssued, auth.NotYetValid},
		{jwt.ErrTokenInvalidIssuer, auth.Issuer},
		{jwt.ErrTokenInvalidAudience, auth.Audience},
		{jwt.ErrTokenInvalidClaims, auth.Claims},
		{jwt.ErrTokenRequiredClaimMissing, auth.Claims},
	} {
		if errors.Is(err, r.cause) {
			return r.reason
		}
	}
	return auth.Signature
}

func refuse(reason auth.Reason, t *jwt.Token, cause error) error {
	refused := &auth.CredentialError{Reason: reason, Method: Method, Err: cause}
	if t == nil {
		return refused
	}
	if id, ok := t.Header["kid"].(string); ok && event.ValidateText("kid", id, event.MaxNameBytes) == nil {
		refused.KeyID = id
	}
	return refused
}
