package jwtauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/jwtauth"
)

// published is an issuer's server whose answer a test sets.
type published struct {
	*jwtauth.JWKS

	answer  atomic.Pointer[http.HandlerFunc]
	fetches atomic.Int64
	url     string

	mu   sync.Mutex
	now  time.Time
	errs []error
}

func publish(t *testing.T, change func(*jwtauth.JWKSConfig)) *published {
	t.Helper()
	p := &published{now: now}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		(*p.answer.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	config := jwtauth.JWKSConfig{
		URL: server.URL + "/jwks?key=hush", Client: server.Client(), Now: p.clock,
		Report: func(_ context.Context, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.errs = append(p.errs, err)
		},
	}
	if change != nil {
		change(&config)
	}
	jwks, err := jwtauth.NewJWKS(config)
	require.NoError(t, err)
	p.JWKS = jwks
	return p
}

func (p *published) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *published) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *published) reported() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(errors.Join(p.errs...))
}

func (p *published) serve(h http.HandlerFunc) { p.answer.Store(&h) }

func (p *published) set(keys ...map[string]any) {
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	p.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// web returns a public key as a JSON Web Key.
func web(t *testing.T, algorithm string, more ...string) map[string]any {
	t.Helper()
	m := map[string]any{"kid": pairs()[algorithm].ID}
	switch key := pairs()[algorithm].Material.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		require.NoError(t, err)
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(key)
	case []byte:
		m["kty"], m["k"] = "oct", b64(key)
	}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

func (p *published) finds(t *testing.T, id string) error {
	t.Helper()
	key, err := p.Key(t.Context(), id)
	if err == nil {
		require.Equal(t, id, key.ID)
		require.NoError(t, key.Validate())
	}
	return err
}

func TestJWKSFindsKeysOfAllTypes(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	p.set(web(t, "RS256", "use", "sig"), web(t, "ES256", "alg", "ES256"), web(t, "EdDSA"))
	assert.Zero(t, p.fetches.Load(), "nothing is fetched before it is needed")
	c := config(jwtauth.RS256, jwtauth.ES256, jwtauth.EdDSA)
	c.Keys = p.JWKS
	a := authenticator(t, c)
	for _, algorithm := range c.Algorithms {
		_, err := a.Authenticate(t.Context(), token(t, algorithm, nil))
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, p.fetches.Load())
}

func TestJWKSLeavesOutWhatItCannotUse(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	key := web(t, "RS256")
	p.set(
		web(t, "HS256"), // a secret
		web(t, "RS256", "kid", "enc", "use", "enc"),
		web(t, "RS256", "kid", "rs512", "alg", "RS512"),
		web(t, "RS256", "kid", ""),
		map[string]any{"kid": "ops", "kty": "RSA", "n": key["n"], "e": key["e"], "key_ops": []string{"encrypt"}},
		web(t, "RS256", "kid", "short", "n", "AQAB"),
		web(t, "RS256", "kid", "exponent", "e", b64([]byte("12345678"))),
		web(t, "RS256", "kid", "padding", "n", "===="),
		web(t, "ES256", "kid", "p384", "crv", "P-384"),
		web(t, "ES256", "kid", "nowhere", "y", b64(make([]byte, 32))),
		web(t, "ES256", "kid", "long", "x", b64(make([]byte, 33))),
		web(t, "EdDSA", "kid", "x25519", "crv", "X25519"),
		web(t, "EdDSA", "kid", "half", "x", b64(make([]byte, 16))),
		map[string]any{"kid": 7},
		web(t, "EdDSA", "alg", "Ed25519"),
	)
	require.NoError(t, p.finds(t, "ed"))
	for _, id := range []string{"hs", "enc", "rs512", "", "ops", "short", "exponent", "padding", "p384", "nowhere", "long", "x25519", "half"} {
		require.ErrorIs(t, p.finds(t, id), jwtauth.ErrUnknownKey, id)
	}
}

func TestJWKSRotates(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	p.set(web(t, "RS256"))
	require.NoError(t, p.finds(t, "rs"))
	p.set(web(t, "ES256"))
	require.ErrorIs(t, p.finds(t, "es"), jwtauth.ErrUnknownKey, "too early to look again")
	p.pass(30 * time.Second)
	require.NoError(t, p.finds(t, "es"), "a new key is found as soon as a token names it")
	require.ErrorIs(t, p.finds(t, "rs"), jwtauth.ErrUnknownKey, "a key that is gone is refused")

	p.set(web(t, "EdDSA"))
	p.pass(15 * time.Minute)
	require.NoError(t, p.finds(t, "es"), "not older than MaxAge")
	p.pass(1)
	require.ErrorIs(t, p.finds(t, "es"), jwtauth.ErrUnknownKey, "older: fetched again")
	assert.EqualValues(t, 3, p.fetches.Load())
}

func TestAttackUnknownKeysDoNotFloodTheIssuer(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	p.set(web(t, "RS256"))
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			_, err := p.Key(t.Context(), fmt.Sprintf("../../%d'; DROP TABLE keys", i))
			assert.ErrorIs(t, err, jwtauth.ErrUnknownKey)
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, p.fetches.Load())
	require.ErrorIs(t, p.finds(t, strings.Repeat("k", 1000)), jwtauth.ErrUnknownKey)
}

func TestJWKSOutage(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	p.serve(down)
	require.ErrorIs(t, p.finds(t, "rs"), auth.ErrUnavailable, "without a set nobody can tell")
	require.ErrorIs(t, p.finds(t, "rs"), auth.ErrUnavailable)
	assert.EqualValues(t, 1, p.fetches.Load(), "not asked again at once")
	assert.Contains(t, p.reported(), "answered 502")

	p.pass(time.Minute)
	p.set(web(t, "RS256"))
	require.NoError(t, p.finds(t, "rs"))
	p.serve(down)
	p.pass(24 * time.Hour)
	require.NoError(t, p.finds(t, "rs"), "the last set is used")
	require.ErrorIs(t, p.finds(t, "es"), jwtauth.ErrUnknownKey)
	p.pass(time.Hour)
	require.ErrorIs(t, p.finds(t, "rs"), auth.ErrUnavailable, "but not for ever")
}

func TestJWKSAnswersThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"no JSON":       {"<html>", "is not a JWK Set"},
		"no keys":       {`{}`, "has no key"},
		"too many keys": {`{"keys":[` + strings.Repeat("{},", 100) + `{}]}`, "has 101 keys"},
		"too large":     {`{"keys":[` + strings.Repeat(" ", 300<<10) + `]}`, "jwk_set has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := publish(t, nil)
			p.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.body)) })
			require.ErrorIs(t, p.finds(t, "rs"), auth.ErrUnavailable)
			assert.Contains(t, p.reported(), c.want)
			err := p.Refresh(t.Context())
			require.ErrorIs(t, err, auth.ErrUnavailable)
			require.ErrorContains(t, err, c.want)
		})
	}
	p := publish(t, nil)
	p.set(web(t, "RS256"), web(t, "ES256", "kid", "rs"))
	require.ErrorContains(t, p.Refresh(t.Context()), `two keys of the id "rs"`)
}

func TestJWKSWithoutAServer(t *testing.T) {
	t.Parallel()
	p := publish(t, func(c *jwtauth.JWKSConfig) {
		c.Client = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })}
	})
	require.ErrorIs(t, p.finds(t, "rs"), auth.ErrUnavailable)
	assert.Contains(t, p.reported(), "no route")
	assert.NotContains(t, p.reported(), "hush", "what is in the address stays there")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestJWKSFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	p := publish(t, func(c *jwtauth.JWKSConfig) { c.Client = nil })
	p.serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	require.ErrorContains(t, p.Refresh(t.Context()), "answered 302")
	assert.EqualValues(t, 1, p.fetches.Load())
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestJWKSTimesOut(t *testing.T) {
	t.Parallel()
	p := publish(t, func(c *jwtauth.JWKSConfig) { c.Timeout = 50 * time.Millisecond })
	p.serve(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	require.ErrorIs(t, p.finds(t, "rs"), auth.ErrUnavailable)
	assert.Contains(t, p.reported(), "deadline")
}

func TestJWKSCallersWaitForOneFetch(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	begun, goOn := make(chan struct{}), make(chan struct{})
	data, err := json.Marshal(map[string]any{"keys": []any{web(t, "RS256")}})
	require.NoError(t, err)
	p.serve(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-goOn
		_, _ = w.Write(data)
	})
	first, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := p.Key(first, "rs")
		assert.NoError(t, err, "a caller that goes away does not end the fetch")
	})
	<-begun
	cancel()
	impatient, end := context.WithCancel(t.Context())
	end()
	_, err = p.Key(impatient, "rs")
	require.ErrorIs(t, err, context.Canceled)
	wg.Go(func() { assert.NoError(t, p.finds(t, "rs")) })
	close(goOn)
	wg.Wait()
	assert.EqualValues(t, 1, p.fetches.Load())
}

func TestRefreshAtStart(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	p.set(web(t, "RS256"))
	require.NoError(t, p.Refresh(t.Context()))
	require.NoError(t, p.finds(t, "rs"))
	assert.EqualValues(t, 1, p.fetches.Load())
}

func TestJWKSConfigIsRefused(t *testing.T) {
	t.Parallel()
	good := "https://id.example.com/jwks"
	for field, c := range map[string]jwtauth.JWKSConfig{
		"url":       {},
		"timeout":   {URL: good, Timeout: -1},
		"max_bytes": {URL: good, MaxBytes: -1},
		"max_age":   {URL: good, MaxAge: -1},
		"max_stale": {URL: good, MaxStale: -1},
		"min_pause": {URL: good, MinPause: -1},
	} {
		_, err := jwtauth.NewJWKS(c)
		require.ErrorContains(t, err, field)
	}
	for url, ok := range map[string]bool{
		"http://id.example.com/jwks": false, "file:///etc/passwd": false, "https://": false, "::": false,
		"http://localhost:1/jwks": true, "http://[::1]:1/jwks": true, good: true,
	} {
		_, err := jwtauth.NewJWKS(jwtauth.JWKSConfig{URL: url})
		assert.Equal(t, ok, err == nil, url)
	}
}

// An issuer that hangs holds up one caller at a time: the others go on with the
// set that there is.
func TestJWKSOutageHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	p.set(web(t, "RS256"))
	require.NoError(t, p.finds(t, "rs"))
	p.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	p.pass(16 * time.Minute)
	require.NoError(t, p.finds(t, "rs"), "now it is known that the issuer is down")

	begun, goOn := make(chan struct{}), make(chan struct{})
	p.serve(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-goOn
	})
	p.pass(time.Minute)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := p.Key(t.Context(), "rs")
		assert.NoError(t, err)
	})
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := p.Key(ctx, "rs")
	close(goOn)
	wg.Wait()
	require.NoError(t, err, "does not wait for the fetch")
}

// A key that was taken back is refused after MaxAge, however short that is.
func TestJWKSMaxAgeBelowThePause(t *testing.T) {
	t.Parallel()
	p := publish(t, func(c *jwtauth.JWKSConfig) { c.MaxAge = 10 * time.Second })
	p.set(web(t, "RS256"))
	require.NoError(t, p.finds(t, "rs"))
	p.set(web(t, "ES256"))
	p.pass(11 * time.Second)
	require.ErrorIs(t, p.finds(t, "rs"), jwtauth.ErrUnknownKey)

	_, err := jwtauth.NewJWKS(jwtauth.JWKSConfig{URL: "https://id.example.com", MaxAge: time.Second, MinPause: time.Minute})
	require.ErrorContains(t, err, "min_pause")
}

// A refresh waits for a fetch on its way, so that an older set never replaces a
// newer one.
func TestJWKSRefreshIsOneFetchAtATime(t *testing.T) {
	t.Parallel()
	p := publish(t, nil)
	begun, goOn := make(chan struct{}, 2), make(chan struct{})
	p.serve(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-goOn
	})
	var wg sync.WaitGroup
	wg.Go(func() { assert.ErrorIs(t, p.Refresh(t.Context()), auth.ErrUnavailable) })
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := p.Refresh(ctx)
	require.ErrorIs(t, err, auth.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.EqualValues(t, 1, p.fetches.Load())
	close(goOn)
	wg.Wait()
}
