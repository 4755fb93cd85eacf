package auth

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Limits on what is taken over from a request.
const (
	// MaxRequestIDBytes bounds a request id of the client's.
	MaxRequestIDBytes = 128
	// MaxUserAgentBytes bounds the user agent; what is longer is cut.
	MaxUserAgentBytes = 256
)

// Arrival is what a transport knows of a request before anybody is known. All
// of it is claimed by the client, except Peer.
type Arrival struct {
	Peer        string   // address of whoever is connected, with or without port
	Forwarded   []string // values of X-Forwarded-For, in order
	RequestID   []string // values of X-Request-Id
	Traceparent []string // values of traceparent
	UserAgent   string
}

// enter puts what is well-formed into ctx and makes new what is not.
//
// The correlation of what follows is the trace id's 16 bytes; without a trace
// the request id, if that is a UUID; else a UUID of version 5 made from it.
func (a Arrival) enter(ctx context.Context, proxies Proxies) context.Context {
	id, known := a.requestID()
	trace, traced := a.traceparent()
	correlation := correlationOf(id)
	if traced {
		correlation = traceID(trace)
	}
	if !known {
		id = event.NewID().String()
		if !traced {
			correlation = correlationOf(id)
		}
	}
	if !traced {
		trace = newTraceparent(correlation)
	}
	m := event.Metadata{audit.KeyRequest: id, audit.KeyTraceparent: trace}
	if source := proxies.Source(a.Peer, a.Forwarded); source != "" {
		m[audit.KeySourceAddress] = source
	}
	if agent := written(a.UserAgent, MaxUserAgentBytes); agent != "" {
		m[audit.KeyUserAgent] = agent
	}
	return event.WithMetadata(event.WithCorrelation(ctx, correlation), m)
}

func (a Arrival) requestID() (string, bool) { return ParseRequestID(a.RequestID) }

// ParseRequestID returns a request's id from the values of its header, and
// whether it can be taken over: there is one, of letters, digits and ._-+/=:@,
// at most [MaxRequestIDBytes] long.
func ParseRequestID(values []string) (id string, ok bool) {
	if len(values) != 1 || values[0] == "" || len(values[0]) > MaxRequestIDBytes || strings.IndexFunc(values[0], unusualInID) >= 0 {
		return "", false
	}
	return values[0], true
}

func unusualInID(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	digit := r >= '0' && r <= '9'
	return !letter && !digit && !strings.ContainsRune("._-+/=:@", r)
}

func (a Arrival) traceparent() (string, bool) {
	if len(a.Traceparent) != 1 {
		return "", false
	}
	return audit.ParseTraceparent(a.Traceparent[0])
}

func traceID(traceparent string) uuid.UUID {
	id, err := uuid.Parse(traceparent[3:35])
	if err != nil {
		return uuid.Nil // cannot be: it is 32 hexadecimal digits.
	}
	return id
}

func newTraceparent(trace uuid.UUID) string {
	var span [8]byte
	for span == [8]byte{} {
		_, _ = rand.Read(span[:]) // never fails.
	}
	return "00-" + hex.EncodeToString(trace[:]) + "-" + hex.EncodeToString(span[:]) + "-00"
}

// correlationOf derives the correlation of a request that has no trace.
func correlationOf(requestID string) uuid.UUID {
	if id, err := uuid.Parse(requestID); err == nil && len(requestID) == len(id.String()) && id != uuid.Nil {
		return id
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:request:"+requestID))
}

// RequestFrom returns what ctx says of the request that it belongs to.
func RequestFrom(ctx context.Context) audit.Request {
	m := event.OriginFrom(ctx).Metadata
	return audit.Request{
		ID:            metadataText(m, audit.KeyRequest),
		Traceparent:   metadataText(m, audit.KeyTraceparent),
		SourceAddress: metadataText(m, audit.KeySourceAddress),
		UserAgent:     metadataText(m, audit.KeyUserAgent),
	}
}

func metadataText(m event.Metadata, key string) string {
	text, _ := m[key].(string)
	return written(text, audit.MaxRequestBytes)
}

func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}
