package jwtauth

import (
	"fmt"
	"slices"
	"time"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

const (
	// MaxLeeway is how far clocks may be apart at the most.
	MaxLeeway = 60 * time.Second
	// MaxTokenBytes bounds a token.
	MaxTokenBytes = 8 << 10
)

// Config pins what is accepted.
type Config struct {
	// Algorithms that tokens may be signed with. Required. HS256 cannot be mixed
	// with others: whoever knows a public key could sign with it.
	Algorithms []string
	// Keys that tokens may be signed with: [Keys] or a [*JWKS]. Required.
	Keys KeySource
	// Issuer that tokens must be from ("iss"). Required.
	Issuer string
	// Audience that tokens must be for, one of these ("aud"). Required.
	Audience []string
	// Leeway is how far the issuer's clock and this one may be apart. At most
	// [MaxLeeway]. Default: not at all.
	Leeway time.Duration
	// MaxAge bounds how long ago a token was issued ("iat"), whatever its own
	// expiry says. Default: no bound.
	MaxAge time.Duration
	// Principal says who a token is. It is called with claims that are verified.
	// An error refuses the token, for the reason of an [*auth.CredentialError] or
	// else for its claims; one that matches [auth.ErrUnavailable] means that it
	// cannot tell now. Default: [DefaultPrincipal].
	Principal func(claims Claims) (auth.Principal, error)
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Validate checks everything that [New] would refuse. The error names the field.
func (c Config) Validate() error {
	if err := c.validateAlgorithms(); err != nil {
		return err
	}
	if err := c.validateKeys(); err != nil {
		return err
	}
	if c.Issuer == "" {
		return &event.InvalidError{Field: "issuer", Reason: "must be given: a token of another issuer must not be accepted"}
	}
	if len(c.Audience) == 0 || slices.Contains(c.Audience, "") {
		return &event.InvalidError{Field: "audience", Reason: "must be given: a token that is meant for somebody else must not be accepted"}
	}
	if c.Leeway < 0 || c.Leeway > MaxLeeway {
		return &event.InvalidError{Field: "leeway", Value: c.Leeway.String(), Reason: "must be 0 to 60 s"}
	}
	if c.MaxAge < 0 {
		return &event.InvalidError{Field: "max_age", Value: c.MaxAge.String(), Reason: "must not be negative"}
	}
	return nil
}

func (c Config) validateAlgorithms() error {
	if len(c.Algorithms) == 0 {
		return &event.InvalidError{Field: "algorithms", Reason: "must name at least one"}
	}
	for i, algorithm := range c.Algorithms {
		if !slices.Contains([]string{HS256, RS256, ES256, EdDSA}, algorithm) {
			return &event.InvalidError{Field: fmt.Sprintf("algorithms[%d]", i), Value: algorithm, Reason: "must be HS256, RS256, ES256 or EdDSA"}
		}
	}
	if slices.Contains(c.Algorithms, HS256) && slices.ContainsFunc(c.Algorithms, func(a string) bool { return a != HS256 }) {
		return &event.InvalidError{Field: "algorithms", Reason: "must not mix HS256 with public keys; use two authenticators and auth.Chain"}
	}
	return nil
}

func (c Config) validateKeys() error {
	switch keys := c.Keys.(type) {
	case nil:
		return &event.InvalidError{Field: "keys", Reason: "must be given"}
	case *JWKS:
		if keys == nil || slices.Contains(c.Algorithms, HS256) {
			return &event.InvalidError{Field: "keys", Reason: "must not be nil; a JWK Set holds public keys, HS256 needs a secret"}
		}
	case Keys:
		if err := keys.Validate(); err != nil {
			return err
		}
		for i, key := range keys {
			if !slices.Contains(c.Algorithms, key.Algorithm) {
				return &event.InvalidError{Field: fmt.Sprintf("keys[%d].algorithm", i), Value: key.Algorithm, Reason: "must be one of the config's algorithms"}
			}
		}
	}
	return nil
}
