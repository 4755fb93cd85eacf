package auth_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

func issuedKeys(t *testing.T, now *clock) (*auth.APIKeys, *auth.MemoryKeys) {
	t.Helper()
	store := &auth.MemoryKeys{}
	keys, err := auth.NewAPIKeys(store, auth.APIKeysConfig{Now: now.Now})
	require.NoError(t, err)
	return keys, store
}

func reasonOf(t *testing.T, err error) auth.Reason {
	t.Helper()
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
	var refused *auth.CredentialError
	require.ErrorAs(t, err, &refused)
	return refused.Reason
}

func TestAPIKeyOfAServiceAccount(t *testing.T) {
	t.Parallel()
	keys, store := issuedKeys(t, newClock())
	text, key, err := keys.Issue(t.Context(), auth.Principal{
		ActorID: event.Service("mailer"), TenantID: "acme", Permissions: []auth.Permission{"task:read"},
	}, time.Time{})
	require.NoError(t, err)
	assert.Regexp(t, `^evk_[a-z2-7]{16}_[a-z2-7]{52}$`, text)

	p, err := keys.Authenticate(t.Context(), text)
	require.NoError(t, err)
	assert.Equal(t, auth.Principal{
		ActorID: event.Service("mailer"), TenantID: "acme", Permissions: []auth.Permission{"task:read"},
		Method: auth.MethodAPIKey, TokenID: key.ID,
	}, p)
	stored, err := store.Key(t.Context(), key.ID)
	require.NoError(t, err)
	assert.Equal(t, key, stored)
	assert.NotContains(t, string(stored.Hash[:]), text[len("evk_")+17:], "the secret is nowhere")
}

func TestAPIKeyIsItsOwnActor(t *testing.T) {
	t.Parallel()
	keys, _ := issuedKeys(t, newClock())
	text, key, err := keys.Issue(t.Context(), auth.Principal{}, time.Time{})
	require.NoError(t, err)
	p, err := keys.Authenticate(t.Context(), text)
	require.NoError(t, err)
	assert.Equal(t, event.API(key.ID), p.ActorID)
}

func TestAPIKeyExpiresAndIsRevoked(t *testing.T) {
	t.Parallel()
	now := newClock()
	keys, store := issuedKeys(t, now)
	text, _, err := keys.Issue(t.Context(), auth.Principal{}, now.Now().Add(time.Hour))
	require.NoError(t, err)
	now.pass(time.Hour - 1)
	_, err = keys.Authenticate(t.Context(), text)
	require.NoError(t, err)
	now.pass(1)
	_, err = keys.Authenticate(t.Context(), text)
	assert.Equal(t, auth.Expired, reasonOf(t, err))

	text, key, err := keys.Issue(t.Context(), auth.Principal{}, time.Time{})
	require.NoError(t, err)
	require.NoError(t, keys.Revoke(t.Context(), key.ID))
	revoked := now.Now()
	now.pass(time.Hour)
	require.NoError(t, keys.Revoke(t.Context(), key.ID))
	_, err = keys.Authenticate(t.Context(), text)
	assert.Equal(t, auth.Revoked, reasonOf(t, err))
	stored, err := store.Key(t.Context(), key.ID)
	require.NoError(t, err)
	assert.Equal(t, revoked, stored.RevokedAt, "since when it was revoked first")
	require.ErrorIs(t, keys.Revoke(t.Context(), "nobody"), auth.ErrKeyNotFound)
}

func TestAttackGuessedAPIKeys(t *testing.T) {
	t.Parallel()
	keys, _ := issuedKeys(t, newClock())
	text, key, err := keys.Issue(t.Context(), auth.Principal{}, time.Time{})
	require.NoError(t, err)
	last := "a"
	if strings.HasSuffix(text, "a") {
		last = "b"
	}
	for credential, reason := range map[string]auth.Reason{
		"":                                 auth.Malformed,
		"evk_":                             auth.Malformed,
		text[4:]:                           auth.Malformed,
		strings.ToUpper(text):              auth.Malformed,
		text + "a":                         auth.Malformed,
		text[:len(text)-1]:                 auth.Malformed,
		text + "\x00":                      auth.Malformed,
		"evk_" + key.ID + "_":              auth.Malformed,
		"evk_' OR 1=1 --_" + text[21:]:     auth.Malformed,
		strings.Repeat("x", 1<<20):         auth.TooLarge,
		text[:len(text)-1] + last:          auth.Unknown,
		"evk_aaaaaaaaaaaaaaaa" + text[20:]: auth.Unknown,
	} {
		_, err := keys.Authenticate(t.Context(), credential)
		assert.Equal(t, reason, reasonOf(t, err), "%.60s", credential)
		if credential != "" {
			assert.NotContains(t, err.Error(), credential)
		}
	}
}

// keyStore is a store of somebody's own, with faults.
type keyStore struct {
	auth.MemoryKeys

	key auth.APIKey
	err error
}

func (s *keyStore) Key(context.Context, string) (auth.APIKey, error) { return s.key, s.err }

func (s *keyStore) Add(context.Context, auth.APIKey) error { return s.err }

func TestAPIKeysWithAStoreOfOnesOwn(t *testing.T) {
	t.Parallel()
	good, _ := issuedKeys(t, newClock())
	text, key, err := good.Issue(t.Context(), auth.Principal{}, time.Time{})
	require.NoError(t, err)
	other, otherKey, err := good.Issue(t.Context(), auth.Principal{}, time.Time{})
	require.NoError(t, err)

	store := &keyStore{err: errDown}
	keys, err := auth.NewAPIKeys(store, auth.APIKeysConfig{})
	require.NoError(t, err)
	_, err = keys.Authenticate(t.Context(), text)
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.NotErrorIs(t, err, auth.ErrUnauthenticated)
	_, _, err = keys.Issue(t.Context(), auth.Principal{}, time.Time{})
	require.ErrorIs(t, err, errDown)

	store.err, store.key = nil, otherKey
	_, err = keys.Authenticate(t.Context(), text)
	assert.Equal(t, auth.Unknown, reasonOf(t, err), "a store that answers with another key lets nobody in")
	otherKey.ID = "different"
	store.key = otherKey
	_, err = keys.Authenticate(t.Context(), other)
	assert.Equal(t, auth.Unknown, reasonOf(t, err))
	key.Principal = auth.Principal{}
	store.key = key
	_, err = keys.Authenticate(t.Context(), text)
	assert.Equal(t, auth.Claims, reasonOf(t, err), "nor one that has forgotten who it is")
}

func TestAPIKeysRefuse(t *testing.T) {
	t.Parallel()
	_, err := auth.NewAPIKeys(nil, auth.APIKeysConfig{})
	require.ErrorContains(t, err, "store")
	for _, prefix := range []string{"a_b", "A", "é", strings.Repeat("a", 21)} {
		_, err = auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{Prefix: prefix})
		require.ErrorContains(t, err, "prefix")
	}
	now := newClock()
	keys, store := issuedKeys(t, now)
	_, _, err = keys.Issue(t.Context(), auth.Principal{}, now.Now())
	require.ErrorContains(t, err, "expires")
	_, _, err = keys.Issue(t.Context(), auth.Principal{ActorID: "mailer"}, time.Time{})
	require.ErrorContains(t, err, "actor_id")
	_, key, err := keys.Issue(t.Context(), auth.Principal{}, time.Time{})
	require.NoError(t, err)
	require.ErrorIs(t, store.Add(t.Context(), key), event.ErrInvalid)
}

// What a key may do is settled when it is issued.
func TestMemoryKeysShareNothing(t *testing.T) {
	t.Parallel()
	keys, err := auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{})
	require.NoError(t, err)
	permissions := []auth.Permission{"task:read"}
	text, _, err := keys.Issue(t.Context(), auth.Principal{Permissions: permissions}, time.Time{})
	require.NoError(t, err)
	permissions[0] = "task:delete"
	p, err := keys.Authenticate(t.Context(), text)
	require.NoError(t, err)
	require.Equal(t, []auth.Permission{"task:read"}, p.Permissions)
	p.Permissions[0] = "task:delete"
	p, err = keys.Authenticate(t.Context(), text)
	require.NoError(t, err)
	assert.Equal(t, []auth.Permission{"task:read"}, p.Permissions)
}
