package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// maxSetKeys bounds how many keys of a JWK Set are read.
const maxSetKeys = 100

// jwk is what is read of a JSON Web Key (RFC 7517, RFC 8037). Addresses and
// chains of certificates are not looked at, nor are secrets.
type jwk struct {
	Type       string   `json:"kty"`
	ID         string   `json:"kid"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  string   `json:"alg"`
	Curve      string   `json:"crv"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	X          string   `json:"x"`
	Y          string   `json:"y"`
}

// parseSet returns the keys of a JWK Set that can be used here: those with an
// id, for signatures, of a type and a strength that [Key] takes. Others are left
// out, as RFC 7517 §5 wants it. An id that two of them have is an error.
func parseSet(data []byte) (map[string]Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("is not a JWK Set: %w", err)
	}
	if len(set.Keys) > maxSetKeys {
		return nil, fmt.Errorf("has %d keys, the limit is %d", len(set.Keys), maxSetKeys)
	}
	keys := make(map[string]Key, len(set.Keys))
	for _, raw := range set.Keys {
		var k jwk
		if json.Unmarshal(raw, &k) != nil || !k.verifies() {
			continue
		}
		key, err := k.key()
		if err != nil || key.Validate() != nil {
			continue
		}
		if _, twice := keys[k.ID]; twice {
			return nil, fmt.Errorf("has two keys of the id %q", k.ID)
		}
		keys[k.ID] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("has no key that can be used")
	}
	return keys, nil
}

func (k jwk) verifies() bool {
	use := k.Use == "" || k.Use == "sig"
	operation := len(k.Operations) == 0 || slices.Contains(k.Operations, "verify")
	return k.ID != "" && use && operation
}

var errKeyType = errors.New("key type is not used here")

func (k jwk) key() (Key, error) {
	key := Key{ID: k.ID}
	var err error
	switch {
	case k.Type == "RSA":
		key.Algorithm = RS256
		key.Material, err = k.rsa()
	case k.Type == "EC" && k.Curve == "P-256":
		key.Algorithm = ES256
		key.Material, err = k.ecdsa()
	case k.Type == "OKP" && k.Curve == "Ed25519":
		key.Algorithm = EdDSA
		var x []byte
		x, err = decode(k.X)
		key.Material = ed25519.PublicKey(x)
	default:
		return Key{}, errKeyType
	}
	if k.Algorithm != "" && k.Algorithm != key.Algorithm && (k.Algorithm != "Ed25519" || key.Algorithm != EdDSA) {
		return Key{}, errKeyType
	}
	return key, err
}

func (k jwk) rsa() (*rsa.PublicKey, error) {
	n, nErr := decode(k.N)
	e, eErr := decode(k.E)
	exponent := new(big.Int).SetBytes(e)
	if nErr != nil || eErr != nil || exponent.BitLen() > 31 {
		return nil, errKeyType
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func (k jwk) ecdsa() (*ecdsa.PublicKey, error) {
	x, xErr := decode(k.X)
	y, yErr := decode(k.Y)
	if xErr != nil || yErr != nil || len(x) != 32 || len(y) != 32 {
		return nil, errKeyType
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
}

func decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }
