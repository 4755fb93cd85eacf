package jwtauth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/jwtauth"
	"github.com/evident-go/evident/event"
)

func TestEachAlgorithm(t *testing.T) {
	t.Parallel()
	for algorithm := range pairs() {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			p, err := authenticator(t, config(algorithm)).Authenticate(t.Context(), token(t, algorithm, nil))
			require.NoError(t, err)
			assert.Equal(t, auth.Principal{ActorID: event.User("alice"), Method: "jwt"}, p)
		})
	}
	all := authenticator(t, config(jwtauth.RS256, jwtauth.ES256, jwtauth.EdDSA))
	for _, algorithm := range []string{jwtauth.RS256, jwtauth.ES256, jwtauth.EdDSA} {
		_, err := all.Authenticate(t.Context(), token(t, algorithm, nil))
		require.NoError(t, err)
	}
	without := sign(t, jwtauth.HS256, secret, nil, claims(nil))
	_, err := authenticator(t, config(jwtauth.HS256)).Authenticate(t.Context(), without)
	require.NoError(t, err, "one key needs no id")
	without = sign(t, jwtauth.RS256, pairs()[jwtauth.RS256].private, nil, claims(nil))
	_, err = all.Authenticate(t.Context(), without)
	assert.Equal(t, auth.UnknownKey, reasonOf(t, err), "of several, none is tried")
}

func TestDefaultPrincipal(t *testing.T) {
	t.Parallel()
	a := authenticator(t, config(jwtauth.EdDSA))
	p, err := a.Authenticate(t.Context(), token(t, jwtauth.EdDSA, map[string]any{
		"tenant_id": "acme", "scope": "task:read  task:create", "permissions": []string{"audit:read"},
		"roles": []string{"admin"}, "jti": "t1", "sid": "s1", "typ": "at+jwt",
		"act":      map[string]any{"sub": "support", "act": map[string]any{"sub": "earlier"}},
		"actor_id": "user:root", "email": "alice@example.com",
	}))
	require.NoError(t, err)
	assert.Equal(t, auth.Principal{
		ActorID: event.User("support"), OnBehalfOf: event.User("alice"), TenantID: "acme",
		Permissions: []auth.Permission{"task:read", "task:create", "audit:read"}, Roles: []string{"admin"},
		Method: "jwt", TokenID: "t1", SessionID: "s1",
	}, p)
}

func TestNullListsAreAbsent(t *testing.T) {
	t.Parallel()
	a := authenticator(t, config(jwtauth.EdDSA))
	p, err := a.Authenticate(t.Context(), token(t, jwtauth.EdDSA, map[string]any{"permissions": []string(nil), "roles": []string(nil)}))
	require.NoError(t, err)
	assert.Empty(t, p.Permissions)
	assert.Empty(t, p.Roles)
}

func TestClaimsThatCannotBe(t *testing.T) {
	t.Parallel()
	a := authenticator(t, config(jwtauth.HS256))
	for name, change := range map[string]map[string]any{
		"no subject":          {"sub": nil},
		"empty subject":       {"sub": ""},
		"subject is a number": {"sub": 1},
		"subject with NUL":    {"sub": "a\x00"},
		"long subject":        {"sub": strings.Repeat("a", 300)},
		"tenant is a list":    {"tenant_id": []string{"acme"}},
		"tenant with NUL":     {"tenant_id": "a\x00"},
		"scope is a list":     {"scope": []string{"x"}},
		"roles is a text":     {"roles": "admin"},
		"roles with a number": {"roles": []any{1}},
		"permissions: object": {"permissions": map[string]any{}},
		"act is a text":       {"act": "support"},
		"act is empty":        {"act": map[string]any{}},
		"act.sub is a number": {"act": map[string]any{"sub": 1}},
		"session is a number": {"sid": 1},
		"expiry is a text":    {"exp": "tomorrow"},
		"audience is missing": {"aud": nil},
		"issuer is a number":  {"iss": 1},
		"issuer is missing":   {"iss": nil},
		"expiry is missing":   {"exp": nil},
		"issued: a text":      {"iat": "x"},
	} {
		_, err := a.Authenticate(t.Context(), token(t, jwtauth.HS256, change))
		assert.Equal(t, auth.Claims, reasonOf(t, err), name)
	}
}

func TestTimesAndNames(t *testing.T) {
	t.Parallel()
	c := config(jwtauth.HS256)
	c.Leeway = 30 * time.Second
	a := authenticator(t, c)
	for name, x := range map[string]struct {
		change map[string]any
		reason auth.Reason
	}{
		"just expired":        {map[string]any{"exp": now.Add(-29 * time.Second).Unix()}, ""},
		"expired":             {map[string]any{"exp": now.Add(-30 * time.Second).Unix()}, auth.Expired},
		"just not valid yet":  {map[string]any{"nbf": now.Add(30 * time.Second).Unix()}, ""},
		"not valid yet":       {map[string]any{"nbf": now.Add(31 * time.Second).Unix()}, auth.NotYetValid},
		"issued in future":    {map[string]any{"iat": now.Add(time.Hour).Unix()}, auth.NotYetValid},
		"several audiences":   {map[string]any{"aud": []string{"x", "tasks"}}, ""},
		"wrong audience":      {map[string]any{"aud": "billing"}, auth.Audience},
		"audience's case":     {map[string]any{"aud": "Tasks"}, auth.Audience},
		"wrong issuer":        {map[string]any{"iss": issuer + "/"}, auth.Issuer},
		"expired and foreign": {map[string]any{"exp": 1, "iss": "x"}, auth.Expired},
	} {
		_, err := a.Authenticate(t.Context(), token(t, jwtauth.HS256, x.change))
		if x.reason == "" {
			require.NoError(t, err, name)
			continue
		}
		assert.Equal(t, x.reason, reasonOf(t, err), name)
	}
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	c := config(jwtauth.HS256)
	c.MaxAge = time.Hour
	a := authenticator(t, c)
	_, err := a.Authenticate(t.Context(), token(t, jwtauth.HS256, map[string]any{"iat": now.Add(-time.Hour).Unix()}))
	require.NoError(t, err)
	_, err = a.Authenticate(t.Context(), token(t, jwtauth.HS256, map[string]any{"iat": now.Add(-time.Hour - time.Second).Unix()}))
	assert.Equal(t, auth.Expired, reasonOf(t, err))
	_, err = a.Authenticate(t.Context(), token(t, jwtauth.HS256, map[string]any{"iat": nil}))
	assert.Equal(t, auth.Claims, reasonOf(t, err))
}

func TestHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	a := authenticator(t, config(jwtauth.HS256))
	for name, c := range map[string]struct {
		header map[string]any
		reason auth.Reason
	}{
		"critical":    {map[string]any{"crit": []string{"exp"}}, auth.Malformed},
		"id token":    {map[string]any{"typ": "secevent+jwt"}, auth.Malformed},
		"typ: number": {map[string]any{"typ": 1}, auth.Malformed},
		"kid: number": {map[string]any{"kid": 1}, auth.UnknownKey},
		"other kid":   {map[string]any{"kid": "other"}, auth.UnknownKey},
	} {
		_, err := a.Authenticate(t.Context(), sign(t, "HS256", secret, c.header, claims(nil)))
		assert.Equal(t, c.reason, reasonOf(t, err), name)
	}
	text := sign(t, "HS384", secret, nil, claims(nil))
	_, err := a.Authenticate(t.Context(), text)
	assert.Equal(t, auth.Algorithm, reasonOf(t, err))
}

func TestUsualTypes(t *testing.T) {
	t.Parallel()
	a := authenticator(t, config(jwtauth.HS256))
	for _, typ := range []string{"JWT", "jwt", "at+jwt", "application/at+jwt", "application/jwt"} { // RFC 7515 §4.1.9, RFC 9068 §4
		_, err := a.Authenticate(t.Context(), sign(t, "HS256", secret, map[string]any{"typ": typ}, claims(nil)))
		require.NoError(t, err, typ)
	}
}

func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	a := authenticator(t, config(jwtauth.HS256))
	good := token(t, jwtauth.HS256, nil)
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	for name, text := range map[string]string{
		"empty":           "",
		"two parts":       parts[0] + "." + parts[1],
		"four parts":      good + ".x",
		"dots":            strings.Repeat(".", 8000),
		"padding":         parts[0] + "=." + parts[1] + "." + parts[2],
		"standard base64": parts[0] + "+/." + parts[1] + "." + parts[2],
		"header no JSON":  b64([]byte("{")) + "." + parts[1] + "." + parts[2],
		"claims no JSON":  parts[0] + "." + b64([]byte("[")) + "." + parts[2],
		"loose bits":      good[:len(good)-1] + loosened(good[len(good)-1]),
	} {
		_, err := a.Authenticate(t.Context(), text)
		assert.Equal(t, auth.Malformed, reasonOf(t, err), name)
		if text != "" {
			assert.NotContains(t, err.Error(), text)
		}
	}
	_, err := a.Authenticate(t.Context(), parts[0]+"."+b64([]byte("null"))+"."+parts[2])
	assert.Equal(t, auth.Signature, reasonOf(t, err))
	_, err = a.Authenticate(t.Context(), sign(t, "HS256", secret, nil, jwt.MapClaims(nil)))
	assert.Equal(t, auth.Claims, reasonOf(t, err))
	_, err = a.Authenticate(t.Context(), b64([]byte(`{"alg":"XX"}`))+"."+parts[1]+"."+parts[2])
	assert.Equal(t, auth.Algorithm, reasonOf(t, err))
	_, err = a.Authenticate(t.Context(), strings.Repeat("a", jwtauth.MaxTokenBytes+1))
	assert.Equal(t, auth.TooLarge, reasonOf(t, err))
}

// loosened returns a character that decodes to the same bytes, unless decoding
// is strict: the last of 43 has two bits that mean nothing.
func loosened(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)|1])
}

func TestPrincipalOfOnesOwn(t *testing.T) {
	t.Parallel()
	c := config(jwtauth.HS256)
	c.Principal = func(claims jwtauth.Claims) (auth.Principal, error) {
		client, err := claims.Text("client_id")
		return auth.Principal{ActorID: event.Service(client), Method: "client"}, err
	}
	a := authenticator(t, c)
	p, err := a.Authenticate(t.Context(), token(t, jwtauth.HS256, map[string]any{"client_id": "mailer"}))
	require.NoError(t, err)
	assert.Equal(t, auth.Principal{ActorID: event.Service("mailer"), Method: "client"}, p)
	_, err = a.Authenticate(t.Context(), token(t, jwtauth.HS256, nil))
	assert.Equal(t, auth.Claims, reasonOf(t, err), "an actor without a name")
	_, err = a.Authenticate(t.Context(), token(t, jwtauth.HS256, map[string]any{"client_id": true}))
	assert.Equal(t, auth.Claims, reasonOf(t, err))
}

// A principal that cannot be told now is nobody's fault, and one that is refused
// is refused for the reason given.
func TestPrincipalOfOnesOwnThatCannotTell(t *testing.T) {
	t.Parallel()
	c := config(jwtauth.HS256)
	down := fmt.Errorf("directory: %w", auth.ErrUnavailable)
	var answer error
	c.Principal = func(jwtauth.Claims) (auth.Principal, error) { return auth.Principal{}, answer }
	a := authenticator(t, c)
	answer = down
	_, err := a.Authenticate(t.Context(), token(t, jwtauth.HS256, nil))
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.NotErrorIs(t, err, auth.ErrUnauthenticated)
	answer = &auth.CredentialError{Reason: auth.Revoked}
	_, err = a.Authenticate(t.Context(), token(t, jwtauth.HS256, nil))
	assert.Equal(t, auth.Revoked, reasonOf(t, err))
}

// source is a key source of somebody's own.
type source func(id string) (jwtauth.Key, error)

func (s source) Key(_ context.Context, id string) (jwtauth.Key, error) { return s(id) }

func TestKeySourceOfOnesOwn(t *testing.T) {
	t.Parallel()
	errDown := errors.New("vault is down")
	c := config(jwtauth.RS256)
	c.Keys = source(func(string) (jwtauth.Key, error) { return jwtauth.Key{}, errDown })
	_, err := authenticator(t, c).Authenticate(t.Context(), token(t, jwtauth.RS256, nil))
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.ErrorIs(t, err, errDown)
	require.NotErrorIs(t, err, auth.ErrUnauthenticated)

	c.Keys = source(func(string) (jwtauth.Key, error) {
		return jwtauth.Key{Algorithm: jwtauth.RS256, Material: []byte("not an RSA key")}, nil
	})
	_, err = authenticator(t, c).Authenticate(t.Context(), token(t, jwtauth.RS256, nil))
	require.Error(t, err, "a key that does not fit lets nobody in")
}

func TestAttackKeysOfASourceThatIsTooGenerous(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	c := config(jwtauth.RS256)
	c.Keys = source(func(id string) (jwtauth.Key, error) {
		if id == "weak" {
			return jwtauth.Key{ID: id, Algorithm: jwtauth.RS256, Material: &weak.PublicKey}, nil
		}
		return pairs()[jwtauth.HS256].Key, nil
	})
	a := authenticator(t, c)
	_, err = a.Authenticate(t.Context(), token(t, jwtauth.HS256, nil))
	assert.Equal(t, auth.Algorithm, reasonOf(t, err), "the algorithm is not pinned, though there is a key")
	_, err = a.Authenticate(t.Context(), sign(t, "RS256", weak, map[string]any{"kid": "weak"}, claims(nil)))
	require.ErrorIs(t, err, auth.ErrUnavailable, "a key that is too weak is never used")
}

func TestAttackKeyOfAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	a := authenticator(t, config(jwtauth.RS256, jwtauth.ES256))
	_, err := a.Authenticate(t.Context(), sign(t, "ES256", pairs()["ES256"].private, map[string]any{"kid": "rs"}, claims(nil)))
	assert.Equal(t, auth.Algorithm, reasonOf(t, err))
}

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	rs, hs := pairs()[jwtauth.RS256].Key, pairs()[jwtauth.HS256].Key
	jwks, err := jwtauth.NewJWKS(jwtauth.JWKSConfig{URL: "https://id.example.com/jwks"})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*jwtauth.Config)
		field  string
	}{
		"no algorithm":       {func(c *jwtauth.Config) { c.Algorithms = nil }, "algorithms"},
		"none":               {func(c *jwtauth.Config) { c.Algorithms = []string{"none"} }, "algorithms[0]"},
		"another":            {func(c *jwtauth.Config) { c.Algorithms = []string{"RS256", "HS512"} }, "algorithms[1]"},
		"mixed":              {func(c *jwtauth.Config) { c.Algorithms = []string{"RS256", "HS256"} }, "must not mix HS256"},
		"no keys":            {func(c *jwtauth.Config) { c.Keys = nil }, "keys"},
		"empty keys":         {func(c *jwtauth.Config) { c.Keys = jwtauth.Keys{} }, "keys"},
		"nil set":            {func(c *jwtauth.Config) { c.Keys = (*jwtauth.JWKS)(nil) }, "keys"},
		"secret from a set":  {func(c *jwtauth.Config) { c.Algorithms, c.Keys = []string{"HS256"}, jwks }, "keys"},
		"key not pinned":     {func(c *jwtauth.Config) { c.Keys = jwtauth.Keys{rs, hs} }, "keys[1].algorithm"},
		"same id twice":      {func(c *jwtauth.Config) { c.Keys = jwtauth.Keys{rs, rs} }, "keys[1].id"},
		"no id among others": {func(c *jwtauth.Config) { c.Keys = jwtauth.Keys{rs, {Algorithm: "RS256", Material: rs.Material}} }, "keys[1].id"},
		"bad key":            {func(c *jwtauth.Config) { c.Keys = jwtauth.Keys{{Algorithm: "RS256"}} }, "keys[0]"},
		"no issuer":          {func(c *jwtauth.Config) { c.Issuer = "" }, "issuer"},
		"no audience":        {func(c *jwtauth.Config) { c.Audience = nil }, "audience"},
		"empty audience":     {func(c *jwtauth.Config) { c.Audience = []string{""} }, "audience"},
		"leeway":             {func(c *jwtauth.Config) { c.Leeway = time.Minute + 1 }, "leeway"},
		"negative leeway":    {func(c *jwtauth.Config) { c.Leeway = -1 }, "leeway"},
		"negative age":       {func(c *jwtauth.Config) { c.MaxAge = -1 }, "max_age"},
	} {
		cfg := config(jwtauth.RS256)
		c.change(&cfg)
		_, err := jwtauth.New(cfg)
		require.ErrorIs(t, err, event.ErrInvalid, name)
		require.ErrorContains(t, err, c.field, name)
	}
}

func TestKeysThatDoNotFit(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8192), E: 65537}
	r := pairs()[jwtauth.RS256]
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: bytes.Repeat([]byte("x"), 100)})
	for name, key := range map[string]jwtauth.Key{
		"short secret":          {Algorithm: "HS256", Material: secret[:31]},
		"secret as text":        {Algorithm: "HS256", Material: string(secret)},
		"public key as secret":  {Algorithm: "HS256", Material: r.Material},
		"PEM as secret":         {Algorithm: "HS256", Material: public},
		"secret as public key":  {Algorithm: "RS256", Material: secret},
		"private key":           {Algorithm: "RS256", Material: r.private},
		"weak RSA":              {Algorithm: "RS256", Material: &weak.PublicKey},
		"huge RSA":              {Algorithm: "RS256", Material: huge},
		"nil RSA":               {Algorithm: "RS256", Material: (*rsa.PublicKey)(nil)},
		"exponent 1":            {Algorithm: "RS256", Material: &rsa.PublicKey{N: r.Material.(*rsa.PublicKey).N, E: 1}},
		"RSA for ES256":         {Algorithm: "ES256", Material: r.Material},
		"P-384 for ES256":       {Algorithm: "ES256", Material: &p384.PublicKey},
		"EC for RS256":          {Algorithm: "RS256", Material: pairs()["ES256"].Material},
		"Ed25519 for ES256":     {Algorithm: "ES256", Material: pairs()["EdDSA"].Material},
		"short Ed25519":         {Algorithm: "EdDSA", Material: ed25519.PublicKey("short")},
		"unknown algorithm":     {Algorithm: "none", Material: secret},
		"id with control chars": {ID: "a\nb", Algorithm: "HS256", Material: secret},
		"nothing":               {Algorithm: "EdDSA"},
	} {
		require.ErrorIs(t, key.Validate(), event.ErrInvalid, name)
	}
}
