package auth

import (
	"context"
	"errors"
)

// Authenticator verifies a credential, without the scheme in front of it.
//
//  1. A principal that it returns without an error is valid and verified.
//  2. A credential that it refuses is a [*CredentialError], or another error
//     that matches [ErrUnauthenticated]. The error does not hold the credential.
//  3. Any other error means that it cannot tell. It is never taken for a yes.
//
// Implementations must be safe for concurrent use.
type Authenticator interface {
	Authenticate(ctx context.Context, credential string) (Principal, error)
}

// AuthenticatorFunc is a function as an [Authenticator].
type AuthenticatorFunc func(ctx context.Context, credential string) (Principal, error)

// Authenticate implements [Authenticator].
func (f AuthenticatorFunc) Authenticate(ctx context.Context, credential string) (Principal, error) {
	return f(ctx, credential)
}

// Chain returns an authenticator that asks others in order until one accepts.
// If none does, the error is the last one's; if one cannot tell, the next are
// not asked.
func Chain(authenticators ...Authenticator) Authenticator { return chain(authenticators) }

type chain []Authenticator

// Authenticate implements [Authenticator].
func (c chain) Authenticate(ctx context.Context, credential string) (Principal, error) {
	var refusal error = &CredentialError{Reason: Unknown}
	for _, a := range c {
		p, err := a.Authenticate(ctx, credential)
		if err == nil || !errors.Is(err, ErrUnauthenticated) {
			return p, err
		}
		refusal = err
	}
	return Principal{}, refusal
}
