package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// JWKSConfig is how a JWK Set is fetched. Only URL is required.
type JWKSConfig struct {
	// URL of the set: https, or http on this machine.
	URL string
	// Client fetches it. Default: one that follows no redirects.
	Client *http.Client
	// Timeout bounds a fetch. Default 5 s.
	Timeout time.Duration
	// MaxBytes bounds the set. Default 256 KiB.
	MaxBytes int64
	// MaxAge is how long a set is used before it is fetched again: a key that the
	// issuer has taken back is refused after that time at the latest. Default 15 min.
	MaxAge time.Duration
	// MaxStale is how long a set is used when it cannot be fetched again. Default 24 h.
	MaxStale time.Duration
	// MinPause is how long it takes between two fetches at least, whatever keys
	// tokens name. At most MaxAge. Default 30 s, or MaxAge if that is shorter.
	MinPause time.Duration
	// Report is told of fetches that failed. It must not block. Default: nobody.
	Report func(ctx context.Context, err error)
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Validate checks the address and the numbers. The error names the field.
func (c JWKSConfig) Validate() error {
	for _, n := range []struct {
		field string
		value int64
	}{
		{"timeout", int64(c.Timeout)},
		{"max_bytes", c.MaxBytes},
		{"max_age", int64(c.MaxAge)},
		{"max_stale", int64(c.MaxStale)},
		{"min_pause", int64(c.MinPause)},
	} {
		if n.value < 0 {
			return &event.InvalidError{Field: n.field, Reason: "must not be negative; 0 means the default"}
		}
	}
	if d := c.withDefaults(); d.MinPause > d.MaxAge {
		return &event.InvalidError{Field: "min_pause", Value: c.MinPause.String(), Reason: "must not be longer than max_age: keys would be used for longer"}
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return &event.InvalidError{Field: "url", Reason: "must be an https address, or an http address on this machine"}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c JWKSConfig) withDefaults() JWKSConfig {
	setDefault(&c.Timeout, 5*time.Second)
	setDefault(&c.MaxBytes, 256<<10)
	setDefault(&c.MaxAge, 15*time.Minute)
	setDefault(&c.MaxStale, 24*time.Hour)
	setDefault(&c.MinPause, min(30*time.Second, c.MaxAge))
	if c.Client == nil {
		c.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if c.Report == nil {
		c.Report = func(context.Context, error) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// JWKS is a [KeySource] that an issuer publishes at an address.
//
//  1. It fetches when it is asked, with no goroutine of its own: the first
//     time, when the set is older than MaxAge, and when a token names a key that
//     the set does not have. One fetch at a time, MinPause between two.
//  2. A set replaces the one before as a whole: keys that are gone are refused.
//  3. While it cannot be fetched, the last set is used up to MaxStale. After
//     that, and before the first, the answer is [auth.ErrUnavailable]. Once a
//     fetch has failed, one caller at a time waits for the next; for the others
//     the last set is good enough.
//  4. Only public keys of the algorithms of this package are taken. A set that
//     cannot be read changes nothing.
//
// It is safe for concurrent use.
type JWKS struct {
	config  JWKSConfig
	fetches chan struct{} // holds a token while somebody fetches

	mu      sync.RWMutex
	keys    map[string]Key
	fetched time.Time // when keys were
	tried   time.Time // last fetch, whether it succeeded or not
	failed  bool      // whether the last fetch did
}

// NewJWKS returns a source that has fetched nothing yet. The error names the field.
func NewJWKS(config JWKSConfig) (*JWKS, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("jwks config: %w", err)
	}
	return &JWKS{config: config.withDefaults(), fetches: make(chan struct{}, 1)}, nil
}

// Key implements [KeySource]. A token that names no key finds none.
func (j *JWKS) Key(ctx context.Context, id string) (Key, error) {
	if len(id) > maxKeyIDBytes || id == "" {
		return Key{}, ErrUnknownKey
	}
	if key, found, fresh := j.find(id); found && fresh {
		return key, nil
	}
	if err := j.refresh(ctx, id); err != nil {
		return Key{}, err
	}
	key, found, _ := j.find(id)
	switch {
	case found:
		return key, nil
	case j.usable():
		return Key{}, ErrUnknownKey
	default:
		return Key{}, fmt.Errorf("%w: no JWK Set from %s", auth.ErrUnavailable, j.host())
	}
}

// find returns a key of the set, unless that is too old to be used at all.
func (j *JWKS) find(id string) (key Key, found, fresh bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	age := j.config.Now().Sub(j.fetched)
	if j.keys == nil || age > j.config.MaxAge+j.config.MaxStale {
		return Key{}, false, false
	}
	key, found = j.keys[id]
	return key, found, age <= j.config.MaxAge
}

func (j *JWKS) usable() bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.keys != nil && j.config.Now().Sub(j.fetched) <= j.config.MaxAge+j.config.MaxStale
}

// refresh fetches the set, unless somebody has done so meanwhile or it is too
// early. Those who come while somebody fetches wait for that, unless they can
// do with the set that there is. The error is ctx's; a fetch that failed is
// reported.
func (j *JWKS) refresh(ctx context.Context, id string) error {
	select {
	case j.fetches <- struct{}{}:
	default:
		if j.doesWithout(id) {
			return nil
		}
		if err := j.begin(ctx); err != nil {
			return err
		}
	}
	defer j.end()
	if _, found, fresh := j.find(id); found && fresh || !j.due() {
		return nil
	}
	// The set is for everybody: a caller that goes away does not end the fetch.
	fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.config.Timeout)
	defer cancel()
	if err := j.replace(fetchCtx); err != nil {
		j.config.Report(ctx, err)
	}
	return nil
}

// doesWithout reports whether the last set has the key, and not much is to be
// expected of whoever fetches now: the last fetch failed.
func (j *JWKS) doesWithout(id string) bool {
	j.mu.RLock()
	failed := j.failed
	j.mu.RUnlock()
	_, found, _ := j.find(id)
	return failed && found
}

// begin waits until nobody fetches. The error is ctx's.
func (j *JWKS) begin(ctx context.Context) error {
	select {
	case j.fetches <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for JWK Set: %w", ctx.Err())
	}
}

func (j *JWKS) end() { <-j.fetches }

// replace fetches the set and puts it in the place of the last one.
func (j *JWKS) replace(ctx context.Context) error {
	keys, err := j.fetch(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed = err != nil; j.failed {
		return fmt.Errorf("fetch JWK Set from %s: %w", j.host(), err)
	}
	j.keys, j.fetched = keys, j.config.Now()
	return nil
}

// due reports whether the last fetch is long enough ago, and counts this one.
func (j *JWKS) due() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.config.Now()
	if !j.tried.IsZero() && now.Sub(j.tried) < j.config.MinPause {
		return false
	}
	j.tried = now
	return true
}

func (j *JWKS) fetch(ctx context.Context) (map[string]Key, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.config.URL, http.NoBody)
	if err != nil {
		return nil, err // refresh says what it was for.
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := j.config.Client.Do(request)
	if err != nil {
		return nil, withoutAddress(err)
	}
	defer response.Body.Close() //nolint:errcheck // everything that matters was read.
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, j.config.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if int64(len(body)) > j.config.MaxBytes {
		return nil, &event.TooLargeError{Field: "jwk_set", Size: len(body), Limit: int(j.config.MaxBytes), Unit: "bytes"}
	}
	return parseSet(body)
}

// Refresh fetches the set now, for a check at start, whether a fetch is due or
// not. The error says why it could not be had.
func (j *JWKS) Refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, j.config.Timeout)
	defer cancel()
	if err := j.begin(ctx); err != nil {
		return errors.Join(auth.ErrUnavailable, err)
	}
	defer j.end()
	if err := j.replace(ctx); err != nil {
		return errors.Join(auth.ErrUnavailable, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tried = j.fetched
	return nil
}

// withoutAddress leaves out the address, which may have a secret in its query.
func withoutAddress(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// host is what errors say of the address.
func (j *JWKS) host() string {
	u, err := url.Parse(j.config.URL)
	if err != nil {
		return "" // Validate has parsed it before.
	}
	return u.Host
}
