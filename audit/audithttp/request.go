package audithttp

import (
	"cmp"
	"net/http"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// requestID is the one that the request's context carries, else the client's if
// it is well-formed, else a new one.
func requestID(r *http.Request) string {
	if id := auth.RequestFrom(r.Context()).ID; id != "" {
		return id
	}
	if given, ok := auth.ParseRequestID(r.Header.Values("X-Request-Id")); ok {
		return given
	}
	return event.NewID().String()
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
	known, _ := audit.ParseTraceparent(given[0])
	return known
}

// draft is the beginning of a record of what the principal does here.
func (x *exchange) draft(action string) audit.Draft {
	return audit.Draft{
		TenantID: x.who.TenantID, ActorID: x.who.ActorID, OnBehalfOf: x.who.OnBehalfOf,
		Action: action, Entity: audit.EntityRef{Type: "AuditLog", ID: cmp.Or(string(x.who.TenantID), "all")},
		Request: x.request(),
	}
}
