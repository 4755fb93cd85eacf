package audithttp

import "net/http"

// code is what a program decides by when a request was refused.
type code string

const (
	codeCursorMismatch      code = "cursor-mismatch"
	codeFieldNotAllowed     code = "field-not-allowed"
	codeHeadersTooLarge     code = "headers-too-large"
	codeIdempotencyConflict code = "idempotency-conflict"
	codeInsufficientScope   code = "insufficient-scope"
	codeInternal            code = "internal"
	codeInvalidBody         code = "invalid-body"
	codeInvalidCursor       code = "invalid-cursor"
	codeInvalidField        code = "invalid-field"
	codeInvalidHeader       code = "invalid-header"
	codeInvalidParameter    code = "invalid-parameter"
	codeLogUnavailable      code = "log-unavailable"
	codeMethodNotAllowed    code = "method-not-allowed"
	codeNotAcceptable       code = "not-acceptable"
	codeNotFound            code = "not-found"
	codeRateLimited         code = "rate-limited"
	codeReadingNotRecorded  code = "reading-not-recorded"
	codeRepeatedParameter   code = "repeated-parameter"
	codeTargetTooLong       code = "target-too-long"
	codeTenantRequired      code = "tenant-required"
	codeTimeout             code = "timeout"
	codeTooLarge            code = "too-large"
	codeTraceTooLarge       code = "trace-too-large"
	codeUnauthenticated     code = "unauthenticated"
	codeUnavailable         code = "unavailable"
	codeUnknownField        code = "unknown-field"
	codeUnknownParameter    code = "unknown-parameter"
	codeUnsupportedMedia    code = "unsupported-media-type"
	codeVetoed              code = "vetoed"
)

// meaning is what stands behind a code.
type meaning struct {
	Name   code
	Status int
	Title  string
}

// meanings returns every code, in alphabetical order.
func meanings() []meaning {
	return []meaning{
		{codeCursorMismatch, http.StatusBadRequest, "The cursor belongs to another principal, path, filter or order"},
		{codeFieldNotAllowed, http.StatusBadRequest, "The field is not the client's to set"},
		{codeHeadersTooLarge, http.StatusRequestHeaderFieldsTooLarge, "There are too many headers, or too large ones"},
		{codeIdempotencyConflict, http.StatusConflict, "The Idempotency-Key was used for something else"},
		{codeInsufficientScope, http.StatusForbidden, "The principal may not do this"},
		{codeInternal, http.StatusInternalServerError, "The server is at fault"},
		{codeInvalidBody, http.StatusBadRequest, "The body is not one JSON object in UTF-8"},
		{codeInvalidCursor, http.StatusBadRequest, "The cursor is not one of this server's"},
		{codeInvalidField, http.StatusBadRequest, "A field of the body is not valid"},
		{codeInvalidHeader, http.StatusBadRequest, "A header is not valid"},
		{codeInvalidParameter, http.StatusBadRequest, "A parameter is not valid"},
		{codeLogUnavailable, http.StatusServiceUnavailable, "The log cannot be reached now"},
		{codeMethodNotAllowed, http.StatusMethodNotAllowed, "The method is not allowed here"},
		{codeNotAcceptable, http.StatusNotAcceptable, "There is no such format"},
		{codeNotFound, http.StatusNotFound, "There is nothing here"},
		{codeRateLimited, http.StatusTooManyRequests, "There are too many requests"},
		{codeReadingNotRecorded, http.StatusServiceUnavailable, "The reading could not be recorded, so nothing is read"},
		{codeRepeatedParameter, http.StatusBadRequest, "A parameter is given more than once"},
		{codeTargetTooLong, http.StatusRequestURITooLong, "Path and query are too long"},
		{codeTenantRequired, http.StatusForbidden, "The principal belongs to no tenant, or to one whose log this is not"},
		{codeTimeout, http.StatusServiceUnavailable, "It took too long"},
		{codeTooLarge, http.StatusRequestEntityTooLarge, "The body is too large"},
		{codeTraceTooLarge, http.StatusUnprocessableEntity, "The trace has too many records for a tree"},
		{codeUnauthenticated, http.StatusUnauthorized, "Nobody is known to ask"},
		{codeUnavailable, http.StatusServiceUnavailable, "Credentials cannot be checked now"},
		{codeUnknownField, http.StatusBadRequest, "There is no such field"},
		{codeUnknownParameter, http.StatusBadRequest, "There is no such parameter"},
		{codeUnsupportedMedia, http.StatusUnsupportedMediaType, "The body is not plain application/json"},
		{codeVetoed, http.StatusUnprocessableEntity, "A rule of the application refused the record"},
	}
}

func (c code) meaning() meaning {
	for _, m := range meanings() {
		if m.Name == c {
			return m
		}
	}
	return meaning{codeInternal, http.StatusInternalServerError, "The server is at fault"}
}
