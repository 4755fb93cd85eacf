package jwtauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/evident-go/evident/event"
)

// The algorithms that a [Config] can accept.
const (
	HS256 = "HS256" // HMAC with a shared secret of 32 bytes or more
	RS256 = "RS256" // RSA with 2048 to 8192 bits
	ES256 = "ES256" // ECDSA on P-256
	EdDSA = "EdDSA" // Ed25519
)

const (
	minSecretBytes = 32
	minRSABits     = 2048
	maxRSABits     = 8192
	maxKeyIDBytes  = 256
)

// ErrUnknownKey says that a [KeySource] has no key of that id.
var ErrUnknownKey = errors.New("no key of that id")

// Key is what a signature is verified with. It belongs to one algorithm.
type Key struct {
	ID        string // the token's "kid"
	Algorithm string
	// Material is a []byte for HS256, else the public key: *rsa.PublicKey,
	// *ecdsa.PublicKey or ed25519.PublicKey.
	Material any
}

// Validate refuses a key that does not fit its algorithm, that is too weak, or
// that is a private one. The error names the field.
func (k Key) Validate() error {
	if err := event.ValidateText("id", k.ID, maxKeyIDBytes); err != nil {
		return err
	}
	switch k.Algorithm {
	case HS256:
		return k.validateSecret()
	case RS256, ES256, EdDSA:
		return k.validatePublic()
	default:
		return &event.InvalidError{Field: "algorithm", Value: k.Algorithm, Reason: "must be HS256, RS256, ES256 or EdDSA"}
	}
}

func (k Key) validateSecret() error {
	secret, ok := k.Material.([]byte)
	if !ok {
		return k.unfit("must be a []byte for HS256")
	}
	if len(secret) < minSecretBytes {
		return k.unfit("must have at least 32 bytes")
	}
	if block, _ := pem.Decode(secret); block != nil {
		return k.unfit("is a PEM block, not a secret: a public key as secret would let everybody sign")
	}
	return nil
}

func (k Key) validatePublic() error {
	switch key := k.Material.(type) {
	case *rsa.PublicKey:
		switch {
		case k.Algorithm != RS256:
			return k.unfit("is an RSA key, which is for RS256")
		case key == nil || key.N == nil || key.N.BitLen() < minRSABits || key.N.BitLen() > maxRSABits || key.E < 3:
			return k.unfit("must have 2048 to 8192 bits and an exponent of 3 or more")
		}
	case *ecdsa.PublicKey:
		if k.Algorithm != ES256 || key == nil || key.Curve != elliptic.P256() {
			return k.unfit("must be a key on P-256, for ES256")
		}
	case ed25519.PublicKey:
		if k.Algorithm != EdDSA || len(key) != ed25519.PublicKeySize {
			return k.unfit("must have 32 bytes, for EdDSA")
		}
	default:
		return k.unfit(fmt.Sprintf("is a %T; must be a public key that fits %s", k.Material, k.Algorithm))
	}
	return nil
}

func (k Key) unfit(reason string) error {
	return &event.InvalidError{Field: "material", Reason: reason}
}

// KeySource finds keys by their ids. An id is only ever compared with the ids
// of keys that are there: it is no path, no address and no query, whatever it
// looks like.
//
// An id that has no key is [ErrUnknownKey]; any other error means that the
// source cannot tell. Implementations must be safe for concurrent use.
type KeySource interface {
	// Key returns the key of an id. "" is the id of a token that names none: it
	// finds a key only if there is exactly one.
	Key(ctx context.Context, id string) (Key, error)
}

// Keys is a [KeySource] of keys that are known at start.
type Keys []Key

// Key implements [KeySource].
func (k Keys) Key(_ context.Context, id string) (Key, error) {
	if id == "" && len(k) == 1 {
		return k[0], nil
	}
	i := slices.IndexFunc(k, func(key Key) bool { return key.ID == id })
	if i < 0 || id == "" {
		return Key{}, ErrUnknownKey
	}
	return k[i], nil
}

// Validate checks each key, and that their ids are there and differ.
func (k Keys) Validate() error {
	if len(k) == 0 {
		return &event.InvalidError{Field: "keys", Reason: "must not be empty"}
	}
	seen := make(map[string]bool, len(k))
	for i, key := range k {
		if err := key.Validate(); err != nil {
			return fmt.Errorf("keys[%d]: %w", i, err)
		}
		if seen[key.ID] || key.ID == "" && len(k) > 1 {
			return &event.InvalidError{Field: fmt.Sprintf("keys[%d].id", i), Value: key.ID, Reason: "must be given once and only once, if there are several keys"}
		}
		seen[key.ID] = true
	}
	return nil
}
