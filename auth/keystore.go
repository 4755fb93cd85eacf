package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evident-go/evident/event"
)

// ErrKeyNotFound says that a [KeyStore] has no key with that id.
var ErrKeyNotFound = errors.New("no such API key")

// KeyStore keeps API keys: their hashes, never the keys.
//
//  1. Key returns what Add was given, with the time of its revocation, at once
//     and on every instance. An id that was never added is [ErrKeyNotFound].
//  2. Add refuses an id that there is already. It replaces nothing.
//  3. Revoke sets the time of the revocation, if there is none, for ever. An
//     id that was never added is [ErrKeyNotFound].
//
// Implementations must be safe for concurrent use. They may add conditions of
// their own on who may call Add and Revoke.
type KeyStore interface {
	Key(ctx context.Context, id string) (APIKey, error)
	Add(ctx context.Context, key APIKey) error
	Revoke(ctx context.Context, id string, at time.Time) error
}

// MemoryKeys is a [KeyStore] in memory: for tests, and for keys that are added
// at start. The zero value is empty and ready.
type MemoryKeys struct {
	mu   sync.RWMutex
	keys map[string]APIKey
}

// Key implements [KeyStore].
func (m *MemoryKeys) Key(_ context.Context, id string) (APIKey, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	key, ok := m.keys[id]
	if !ok {
		return APIKey{}, ErrKeyNotFound
	}
	key.Principal = key.Principal.clone()
	return key, nil
}

// Add implements [KeyStore].
func (m *MemoryKeys) Add(_ context.Context, key APIKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.keys[key.ID]; taken || key.ID == "" {
		return &event.InvalidError{Field: "id", Value: key.ID, Reason: "must be new"}
	}
	if m.keys == nil {
		m.keys = make(map[string]APIKey)
	}
	key.Principal = key.Principal.clone()
	m.keys[key.ID] = key
	return nil
}

// Revoke implements [KeyStore].
func (m *MemoryKeys) Revoke(_ context.Context, id string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, ok := m.keys[id]
	if !ok {
		return ErrKeyNotFound
	}
	if key.RevokedAt.IsZero() {
		key.RevokedAt = at
		m.keys[id] = key
	}
	return nil
}
