package audithttp

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// The permissions that the routes ask for.
const (
	Read     auth.Permission = "audit:read"           // every GET
	Export   auth.Permission = "audit:export"         // besides Read, for NDJSON and CSV
	Write    auth.Permission = "audit:write"          // every POST
	Delegate auth.Permission = "audit:write.delegate" // besides Write, to record on behalf of somebody else
)

// MinKeyBytes is how long a key for cursors must be.
const MinKeyBytes = 32

// Config says what a [Handler] serves, and to whom. Log, Activity, Authenticate
// and Recorder must be given.
type Config struct {
	// Log is what is read and written.
	Log *audit.Log
	// Activity has the feeds of actors.
	Activity audit.ActivityReader
	// Authenticate returns who makes a request. What it returns besides an error
	// is trusted; an error is 401, and not shown to the client, unless it matches
	// [auth.ErrDenied] (403), [auth.ErrUnavailable] or [auth.ErrNotRecorded]
	// (503). It is called once for each request, by many goroutines.
	Authenticate func(r *http.Request) (auth.Principal, error)
	// Recorder is what refusals are recorded by: whoever lacks a permission is in
	// the log as [auth.ActionDenied], within the recorder's limit for floods. Give
	// it the one that your middleware has, so that there is one limit for both.
	Recorder *auth.Recorder

	// Prefix is where the handler is mounted. Default "/v1/audit".
	Prefix string
	// CursorKeys sign cursors: the first signs, all are accepted, so that keys
	// can be changed. Each has at least [MinKeyBytes]. Default: a key of this
	// process's own; cursors then end with it and are strange to other processes.
	CursorKeys [][]byte
	// WithoutTenants serves the whole log to a principal without a tenant: for
	// installations that have none. By default such a principal is refused.
	WithoutTenants bool
	// ProtectDocs asks for a principal that may [Read] at the contract, too.
	ProtectDocs bool
	// AllowedOrigins are the origins whose pages may call, for example
	// "https://console.example.com". Default none: no CORS.
	AllowedOrigins []string
	// RateLimit says whether a request goes on, or when it is worth trying
	// again. Default: no limit. [PerPrincipal] is one.
	RateLimit func(r *http.Request, p auth.Principal) (retryAfter time.Duration, ok bool)
	// SourceAddress says where a request comes from. Default: what the
	// request's context carries ([auth.RequestFrom]), else its peer. A proxy's
	// headers are believed by nobody here.
	SourceAddress func(r *http.Request) string
	// Challenge is the header WWW-Authenticate of a 401. Default `Bearer realm="audit"`.
	Challenge string
	// Report is told of errors that the client is not told of. Default: nobody is.
	Report func(ctx context.Context, err error)

	MaxBodyBytes   int64         // default 1 MiB
	MaxTargetBytes int           // path and query together; default 8 KiB
	MaxHeaders     int           // default 100
	MaxHeaderBytes int           // names and values together; default 32 KiB
	Timeout        time.Duration // for each request but exports; default 10 s
	StallTimeout   time.Duration // how long a client may take for 64 KiB of an export; default 30 s
	RetryAfter     time.Duration // what a 503 says; default 5 s
}

// Validate refuses what a handler cannot serve with. The error, an
// [*event.InvalidError], names the field.
func (c Config) Validate() error {
	switch {
	case c.Log == nil:
		return invalid("log", "", "must be set")
	case c.Activity == audit.ActivityReader{}:
		return invalid("activity", "", "must be set: a home's ActivityReader, or audit.ReplayActivities(events)")
	case c.Authenticate == nil:
		return invalid("authenticate", "", "must be set: nothing is served to nobody in particular")
	case c.Recorder == nil:
		return invalid("recorder", "", "must be set: refusals are recorded by it")
	}
	if c.Prefix != "" && (!strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") || (&url.URL{Path: c.Prefix}).EscapedPath() != c.Prefix) {
		return invalid("prefix", c.Prefix, `must be a plain path such as "/v1/audit", without a slash at its end`)
	}
	for i, key := range c.CursorKeys {
		if len(key) < MinKeyBytes {
			return invalid(fmt.Sprintf("cursor_keys[%d]", i), "", fmt.Sprintf("must have at least %d bytes", MinKeyBytes))
		}
	}
	for i, origin := range c.AllowedOrigins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return invalid(fmt.Sprintf("allowed_origins[%d]", i), origin, `must be like "https://console.example.com"; a wildcard is not taken`)
		}
	}
	return c.validateLimits()
}

func (c Config) validateLimits() error {
	for _, limit := range []struct {
		field string
		value int64
	}{
		{"max_body_bytes", c.MaxBodyBytes},
		{"max_target_bytes", int64(c.MaxTargetBytes)},
		{"max_headers", int64(c.MaxHeaders)},
		{"max_header_bytes", int64(c.MaxHeaderBytes)},
		{"timeout", int64(c.Timeout)},
		{"stall_timeout", int64(c.StallTimeout)},
		{"retry_after", int64(c.RetryAfter)},
	} {
		if limit.value < 0 {
			return invalid(limit.field, "", "must not be negative; 0 means the default")
		}
	}
	return nil
}

func invalid(field, value, reason string) error {
	return &event.InvalidError{Field: field, Value: value, Reason: reason}
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "/v1/audit")
	c.Challenge = cmp.Or(c.Challenge, `Bearer realm="audit"`)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, 1<<20)
	c.MaxTargetBytes = cmp.Or(c.MaxTargetBytes, 8<<10)
	c.MaxHeaders = cmp.Or(c.MaxHeaders, 100)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, 32<<10)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.StallTimeout = cmp.Or(c.StallTimeout, 30*time.Second)
	c.RetryAfter = cmp.Or(c.RetryAfter, 5*time.Second)
	c.AllowedOrigins = slices.Clone(c.AllowedOrigins)
	c.CursorKeys = slices.Clone(c.CursorKeys)
	if len(c.CursorKeys) == 0 {
		key := make([]byte, MinKeyBytes)
		_, _ = rand.Read(key) // never fails.
		c.CursorKeys = [][]byte{key}
	}
	if c.SourceAddress == nil {
		c.SourceAddress = sourceAddress
	}
	if c.Report == nil {
		c.Report = func(context.Context, error) {}
	}
	return c
}

func sourceAddress(r *http.Request) string {
	if source := auth.RequestFrom(r.Context()).SourceAddress; source != "" {
		return source
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
