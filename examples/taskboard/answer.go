package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// answer is what a handler returns if nothing went wrong.
type answer struct {
	status   int
	location string // of what was made
	body     any    // sent as JSON; nil for none
}

// answering makes a handler of a function.
func answering(f func(r *http.Request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		a, err := f(r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		a.write(w, r)
	})
}

func (a answer) write(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if a.location != "" {
		header.Set("Location", a.location)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	send(w, r, a.status, "application/json", a.body)
}

func send(w http.ResponseWriter, r *http.Request, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		httpauth.Logger(r.Context()).Debug("client is gone", zap.Error(err))
	}
}

//docs:begin problems

// refuse answers with what went wrong. Who may not do something, and what is not
// there, the middleware's room knows how to answer; here is what is the board's own.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := problemOf(err)
	if !ok {
		httpauth.WriteProblem(w, r, err)
		return
	}
	p.Type, p.Title, p.RequestID = "about:blank", http.StatusText(p.Status), auth.RequestFrom(r.Context()).ID
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	httpauth.Logger(r.Context()).Info("request refused", zap.Int("status", p.Status), zap.Error(err))
	send(w, r, p.Status, "application/problem+json", p)
}

func problemOf(err error) (httpauth.Problem, bool) {
	problem := func(status int, code string) (httpauth.Problem, bool) {
		return httpauth.Problem{Status: status, Code: code, Detail: err.Error()}, true
	}
	switch {
	case errors.Is(err, event.ErrInvalid), errors.Is(err, event.ErrTooLarge), errors.Is(err, ErrStranger):
		return problem(http.StatusBadRequest, "invalid")
	case errors.Is(err, ErrPassword):
		return problem(http.StatusUnauthorized, "wrong-password")
	case errors.Is(err, ErrTooOften):
		return problem(http.StatusTooManyRequests, "too-often")
	case errors.Is(err, ErrCompleted):
		return problem(http.StatusConflict, "task-completed")
	case errors.Is(err, ErrDeleted):
		return problem(http.StatusGone, "task-deleted")
	case errors.Is(err, auth.ErrNotRecorded):
		return httpauth.Problem{}, false
	case eventstore.IsRetryable(err), errors.Is(err, eventstore.ErrClosed):
		return httpauth.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Detail: "Try again later."}, true
	default:
		return httpauth.Problem{}, false
	}
}

//docs:end problems

// challenge says how to present who one is.
const challenge = `Bearer realm="` + realm + `"`

// retryAfter is how many seconds a client is asked to wait.
const retryAfter = 10

// maxBody is how large a body may be, in bytes.
const maxBody = 4 << 10

// decode reads a body, which must be one JSON value and nothing that is not known.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &event.TooLargeError{Field: "body", Size: int(large.Limit) + 1, Limit: int(large.Limit), Unit: "bytes"}
		}
		return &event.InvalidError{Field: "body", Reason: fmt.Sprintf("must be JSON as described: %v", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &event.InvalidError{Field: "body", Reason: "must be one JSON value"}
	}
	return nil
}
