package audithttp

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// maxRequestID bounds a request id that a client chose.
const maxRequestID = 128

// requestID is the one that the request's context carries, else the client's if
// it is well-formed, else a new one.
func requestID(r *http.Request) string {
	if id := auth.RequestFrom(r.Context()).ID; id != "" {
		return id
	}
	given := r.Header.Values("X-Request-Id")
	if len(given) == 1 && len(given[0]) <= maxRequestID && wellFormed(given[0]) {
		return given[0]
	}
	return event.NewID().String()
}

func wellFormed(id string) bool {
	return id != "" && strings.IndexFunc(id, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("._-+/=:@", r)
	}) < 0
}

// request is what a record says of where it came from.
func (x *exchange) request() audit.Request {
	known := auth.RequestFrom(x.r.Context())
	return audit.Request{
		ID:            x.requestID,
		Traceparent:   cmp.Or(known.Traceparent, traceparent(x.r)),
		SourceAddress: clean(x.h.config.SourceAddress(x.r), audit.MaxRequestBytes),
		UserAgent:     cmp.Or(known.UserAgent, clean(x.r.UserAgent(), auth.MaxUserAgentBytes)),
	}
}

// traceparent returns the header of W3C Trace Context, "" unless it is well-formed.
func traceparent(r *http.Request) string {
	given := r.Header.Values("Traceparent")
	if len(given) != 1 {
		return ""
	}
	parts := strings.Split(given[0], "-")
	if len(parts) != 4 || parts[0] != "00" || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 {
		return ""
	}
	if strings.Trim(strings.Join(parts, ""), "0123456789abcdef") != "" || strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return ""
	}
	return given[0]
}

// draft is the beginning of a record of what the principal does here.
func (x *exchange) draft(action string) audit.Draft {
	return audit.Draft{
		TenantID: x.who.TenantID, ActorID: x.who.ActorID, OnBehalfOf: x.who.OnBehalfOf,
		Action: action, Entity: audit.EntityRef{Type: "AuditLog", ID: cmp.Or(string(x.who.TenantID), "all")},
		Request: x.request(),
	}
}
