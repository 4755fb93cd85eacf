package audithttp

import (
	"net/http"
	"slices"
	"strings"
)

// secure sets what every answer has.
func (x *exchange) secure() {
	header := x.w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Request-Id", x.requestID)
	header.Add("Vary", "Accept")
}

// allowOrigin lets pages of the configured origins read the answer.
func (x *exchange) allowOrigin() {
	if len(x.h.config.AllowedOrigins) == 0 {
		return
	}
	x.w.Header().Add("Vary", "Origin")
	if x.originAllowed() {
		x.w.Header().Set("Access-Control-Allow-Origin", x.r.Header.Get("Origin"))
		x.w.Header().Set("Access-Control-Expose-Headers", "Idempotency-Replayed, Link, Location, Retry-After, X-Request-Id")
		x.w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
}

func (x *exchange) originAllowed() bool {
	return slices.Contains(x.h.config.AllowedOrigins, x.r.Header.Get("Origin"))
}

// options says which methods a path has, to browsers in their way as well.
func (x *exchange) options(allow []string) error {
	header := x.w.Header()
	header.Set("Allow", strings.Join(allow, ", "))
	if x.originAllowed() && x.r.Header.Get("Access-Control-Request-Method") != "" {
		header.Set("Access-Control-Allow-Methods", strings.Join(allow, ", "))
		header.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Idempotency-Key, Traceparent, X-Request-Id")
		header.Set("Access-Control-Max-Age", "600")
	}
	x.answered = true
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkSize refuses what is too long to be looked at.
func (x *exchange) checkSize() error {
	limits := &x.h.config
	if len(x.r.URL.EscapedPath())+len(x.r.URL.RawQuery) > limits.MaxTargetBytes {
		return refuse(codeTargetTooLong, "path and query may have %d bytes", limits.MaxTargetBytes)
	}
	count, size := 0, 0
	for name, values := range x.r.Header {
		for _, value := range values {
			count++
			size += len(name) + len(value)
		}
	}
	if count > limits.MaxHeaders || size > limits.MaxHeaderBytes {
		return refuse(codeHeadersTooLarge, "there may be %d headers with %d bytes together", limits.MaxHeaders, limits.MaxHeaderBytes)
	}
	return nil
}
