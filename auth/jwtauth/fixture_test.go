package jwtauth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/jwtauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://id.example.com"

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

var secret = []byte("0123456789abcdef0123456789abcdef")

// pair is a key with its private half.
type pair struct {
	jwtauth.Key

	private any
}

var pairs = sync.OnceValue(func() map[string]pair {
	r, rErr := rsa.GenerateKey(rand.Reader, 2048)
	e, eErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	public, private, dErr := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(rErr, eErr, dErr); err != nil {
		panic(err)
	}
	return map[string]pair{
		jwtauth.HS256: {jwtauth.Key{ID: "hs", Algorithm: jwtauth.HS256, Material: secret}, secret},
		jwtauth.RS256: {jwtauth.Key{ID: "rs", Algorithm: jwtauth.RS256, Material: &r.PublicKey}, r},
		jwtauth.ES256: {jwtauth.Key{ID: "es", Algorithm: jwtauth.ES256, Material: &e.PublicKey}, e},
		jwtauth.EdDSA: {jwtauth.Key{ID: "ed", Algorithm: jwtauth.EdDSA, Material: public}, private},
	}
})

func claims(change map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": issuer, "aud": "tasks", "sub": "alice", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
	}
	maps.Copy(c, change)
	for key, value := range c {
		if value == nil {
			delete(c, key)
		}
	}
	return c
}

func sign(t *testing.T, algorithm string, key any, header map[string]any, c jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), c)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return text
}

// token is one that is accepted, apart from the changes.
func token(t *testing.T, algorithm string, change map[string]any) string {
	t.Helper()
	p := pairs()[algorithm]
	return sign(t, algorithm, p.private, map[string]any{"kid": p.ID}, claims(change))
}

func config(algorithms ...string) jwtauth.Config {
	var keys jwtauth.Keys
	for _, algorithm := range algorithms {
		keys = append(keys, pairs()[algorithm].Key)
	}
	return jwtauth.Config{
		Algorithms: algorithms, Keys: keys, Issuer: issuer, Audience: []string{"tasks"},
		Now: func() time.Time { return now },
	}
}

func authenticator(t *testing.T, c jwtauth.Config) *jwtauth.Authenticator {
	t.Helper()
	a, err := jwtauth.New(c)
	require.NoError(t, err)
	return a
}

func reasonOf(t *testing.T, err error) auth.Reason {
	t.Helper()
	require.ErrorIs(t, err, auth.ErrUnauthenticated)
	refused, ok := errors.AsType[*auth.CredentialError](err)
	require.True(t, ok)
	require.Equal(t, jwtauth.Method, refused.Method)
	return refused.Reason
}
