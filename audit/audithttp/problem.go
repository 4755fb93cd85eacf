package audithttp

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// problem is an answer that refuses, as RFC 9457 has it.
type problem struct {
	code       code
	detail     string
	faults     []fault
	allow      string        // of a 405
	retryAfter time.Duration // of a 429 and a 503; 0 for the default
	cause      error         // for the report, never for the client
}

// fault is one thing that is wrong with a request, and where.
type fault struct {
	Parameter string `json:"parameter,omitempty"`
	Header    string `json:"header,omitempty"`
	Pointer   string `json:"pointer,omitempty"`
	Code      code   `json:"code"`
	Detail    string `json:"detail"`
}

// Error implements error.
func (p *problem) Error() string {
	text := string(p.code)
	if p.detail != "" {
		text += ": " + p.detail
	}
	if p.cause != nil {
		text += ": " + p.cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (p *problem) Unwrap() error { return p.cause }

func refuse(c code, format string, args ...any) *problem {
	return &problem{code: c, detail: fmt.Sprintf(format, args...)}
}

// maxFaults bounds how many faults a problem lists: an answer must not be many
// times as large as what it answers.
const maxFaults = 100

// faulty returns what is wrong as one problem, nil if nothing is.
func faulty(faults []fault) error {
	if len(faults) == 0 {
		return nil
	}
	return &problem{code: faults[0].Code, detail: faults[0].Detail, faults: faults[:min(len(faults), maxFaults)]}
}

type problemJSON struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Detail    string  `json:"detail,omitempty"`
	Instance  string  `json:"instance"`
	Code      code    `json:"code"`
	RequestID string  `json:"request_id"`
	Errors    []fault `json:"errors,omitempty"`
}

// write answers with the problem.
func (p *problem) write(x *exchange) {
	m := p.code.meaning()
	header := x.w.Header()
	switch m.Status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", x.h.config.Challenge)
	case http.StatusMethodNotAllowed:
		header.Set("Allow", p.allow)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		wait := p.retryAfter
		if wait <= 0 {
			wait = x.h.config.RetryAfter
		}
		header.Set("Retry-After", strconv.FormatFloat(max(1, math.Ceil(wait.Seconds())), 'f', 0, 64))
	}
	header.Del("Link")
	body, err := json.Marshal(problemJSON{
		Type: x.h.config.Prefix + "/docs#" + string(m.Name), Title: m.Title, Status: m.Status, Detail: p.detail,
		Instance: x.r.URL.EscapedPath(), Code: m.Name, RequestID: x.requestID, Errors: p.faults,
	})
	if err != nil {
		body = []byte("{}") // cannot be: texts and a number.
	}
	x.write(m.Status, "application/problem+json", body)
}
