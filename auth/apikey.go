package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evident-go/evident/event"
)

// MethodAPIKey is the [Principal.Method] of whoever was authenticated by [APIKeys].
const MethodAPIKey = "api_key"

// DefaultKeyPrefix is what API keys begin with, unless the config says otherwise.
const DefaultKeyPrefix = "evk"

const (
	keyIDBytes     = 10 // 16 characters
	keySecretBytes = 32 // 52 characters
	maxKeyBytes    = 256
)

// APIKey is what is stored of an API key: never the key itself.
type APIKey struct {
	ID        string            // public; the second part of the key
	Hash      [sha256.Size]byte // of the whole key
	Principal Principal         // who acts with it
	CreatedAt time.Time
	ExpiresAt time.Time // zero if it does not expire
	RevokedAt time.Time // zero if it is not revoked
}

// APIKeysConfig is how keys look. The zero value is ready.
type APIKeysConfig struct {
	// Prefix is what keys begin with, so that scanners find leaked ones:
	// lower-case letters and digits, at most 20. Default [DefaultKeyPrefix].
	Prefix string
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Validate checks the prefix. The error names the field.
func (c APIKeysConfig) Validate() error {
	if len(c.Prefix) > 20 || strings.Trim(c.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return &event.InvalidError{Field: "prefix", Value: written(c.Prefix, 40), Reason: "must be at most 20 lower-case letters and digits"}
	}
	return nil
}

// APIKeys issues API keys and authenticates by them. A key is
// "evk_<id>_<secret>", with 256 random bits in the secret; stored is its
// SHA-256, which is enough for a secret that nobody can guess. It is safe for
// concurrent use.
type APIKeys struct {
	store  KeyStore
	config APIKeysConfig
}

// NewAPIKeys returns keys that are kept in store. The error names the field.
func NewAPIKeys(store KeyStore, config APIKeysConfig) (*APIKeys, error) {
	if store == nil {
		return nil, &event.InvalidError{Field: "store", Reason: "must not be nil"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	setDefault(&config.Prefix, DefaultKeyPrefix)
	if config.Now == nil {
		config.Now = time.Now
	}
	return &APIKeys{store: store, config: config}, nil
}

// Issue makes a key for a principal and stores its hash. The text that it
// returns is the key, and can never be had again. A principal without an actor
// is the key itself ("api:<id>"); a service account names its own
// ([event.Service]). A zero time means that the key does not expire.
func (k *APIKeys) Issue(ctx context.Context, p Principal, expires time.Time) (string, APIKey, error) {
	now := k.config.Now()
	if !expires.IsZero() && !expires.After(now) {
		return "", APIKey{}, &event.InvalidError{Field: "expires", Value: expires.Format(time.RFC3339), Reason: "must not be over already"}
	}
	id := randomText(keyIDBytes)
	if p.ActorID == "" {
		p.ActorID = event.API(id)
	}
	p.Method, p.TokenID = MethodAPIKey, id
	if err := p.Validate(); err != nil {
		return "", APIKey{}, fmt.Errorf("issue API key: %w", err)
	}
	text := k.config.Prefix + "_" + id + "_" + randomText(keySecretBytes)
	key := APIKey{ID: id, Hash: sha256.Sum256([]byte(text)), Principal: p, CreatedAt: now, ExpiresAt: expires}
	if err := k.store.Add(ctx, key); err != nil {
		return "", APIKey{}, fmt.Errorf("issue API key: %w", err)
	}
	return text, key, nil
}

// Revoke takes a key back, from now on and for ever. An unknown key is
// [ErrKeyNotFound]; one that is revoked stays so, since when it was.
func (k *APIKeys) Revoke(ctx context.Context, id string) error {
	if err := k.store.Revoke(ctx, id, k.config.Now()); err != nil {
		return fmt.Errorf("revoke API key %s: %w", written(id, maxKeyBytes), err)
	}
	return nil
}

// Authenticate implements [Authenticator]. A wrong secret and an unknown id
// are told apart neither by the answer nor by the time it takes to compare.
func (k *APIKeys) Authenticate(ctx context.Context, credential string) (Principal, error) {
	id, err := k.idOf(credential)
	if err != nil {
		return Principal{}, err
	}
	key, err := k.store.Key(ctx, id)
	if err != nil && !errors.Is(err, ErrKeyNotFound) {
		return Principal{}, fmt.Errorf("%w: look up API key: %w", ErrUnavailable, err)
	}
	hash := sha256.Sum256([]byte(credential)) // compared with zeros if the id is unknown.
	if subtle.ConstantTimeCompare(hash[:], key.Hash[:]) != 1 || err != nil || key.ID != id {
		return Principal{}, refusedKey(Unknown, id)
	}
	now := k.config.Now()
	switch {
	case !key.RevokedAt.IsZero():
		return Principal{}, refusedKey(Revoked, id)
	case !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt):
		return Principal{}, refusedKey(Expired, id)
	}
	p := key.Principal
	p.Method, p.TokenID = MethodAPIKey, id
	if err := p.Validate(); err != nil {
		return Principal{}, &CredentialError{Reason: Claims, Method: MethodAPIKey, KeyID: id, Err: err}
	}
	return p, nil
}

// idOf returns the public part of a key, if it looks like one.
func (k *APIKeys) idOf(credential string) (string, error) {
	if len(credential) > maxKeyBytes {
		return "", refusedKey(TooLarge, "")
	}
	rest, found := strings.CutPrefix(credential, k.config.Prefix+"_")
	id, secret, split := strings.Cut(rest, "_")
	if !found || !split || !isKeyText(id, keyIDBytes) || !isKeyText(secret, keySecretBytes) {
		return "", refusedKey(Malformed, "")
	}
	return id, nil
}

func refusedKey(reason Reason, id string) *CredentialError {
	return &CredentialError{Reason: reason, Method: MethodAPIKey, KeyID: id}
}

func keyEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails.
	return keyEncoding().EncodeToString(b)
}

// isKeyText reports whether s is what randomText returns for so many bytes.
func isKeyText(s string, bytes int) bool {
	return len(s) == (bytes*8+4)/5 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
