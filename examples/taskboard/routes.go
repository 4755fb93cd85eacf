package main

import (
	"net/http"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/event"
)

// realm is what the service calls itself when it asks who somebody is.
const realm = "taskboard"

// routes puts everything behind the middleware. It lets those in who present
// nothing, for the log-in and the documentation; whoever presents something
// that is wrong does not get further. All else asks who it is.
//
//docs:begin routes
func (b *Board) routes() (http.Handler, error) {
	middleware, err := httpauth.New(httpauth.Config{
		Bearer: b.tokens, Recorder: b.recorder, AllowAnonymous: true, Logger: b.logger, Realm: realm,
	})
	if err != nil {
		return nil, err
	}
	auditAPI, err := audithttp.New(audithttp.Config{
		Log: b.log, Activity: b.activity, Authenticate: middleware.Principal, Recorder: b.recorder,
		Challenge: challenge, Report: b.report,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/audit", auditAPI)
	mux.Handle("/v1/audit/", auditAPI)
	mux.Handle("GET /{$}", http.RedirectHandler("/v1/audit/docs", http.StatusSeeOther))
	mux.Handle("POST /login", answering(b.desk().logIn))
	mux.Handle("POST /tasks", answering(b.createTask))
	mux.Handle("GET /tasks/{id}", answering(b.getTask))
	mux.Handle("PATCH /tasks/{id}", answering(b.renameTask))
	mux.Handle("PUT /tasks/{id}/assignee", answering(b.assignTask))
	mux.Handle("POST /tasks/{id}/completion", answering(b.completeTask))
	mux.Handle("DELETE /tasks/{id}", answering(b.deleteTask))
	mux.Handle("GET /tasks/{id}/history", answering(b.history))
	mux.Handle("GET /feed", answering(b.feed))
	mux.Handle("GET /counts", answering(b.counts))
	mux.Handle("GET /messages", httpauth.RequirePermission(audithttp.Read)(answering(b.messages)))
	return middleware.Handler(logged(mux)), nil
}

//docs:end routes

// taskJSON is a task as clients see it.
type taskJSON struct {
	ID       uuid.UUID     `json:"id"`
	Title    string        `json:"title"`
	Owner    event.ActorID `json:"owner"`
	Assignee event.ActorID `json:"assignee"`
	Stage    Stage         `json:"stage"`
}

// titleJSON is what creates or renames a task.
type titleJSON struct {
	Title string `json:"title"`
}

func (b *Board) createTask(r *http.Request) (answer, error) {
	var given titleJSON
	if err := decode(r, &given); err != nil {
		return answer{}, err
	}
	id, err := b.tasks.Create(r.Context(), given.Title)
	if err != nil {
		return answer{}, err
	}
	a, err := b.present(r, id, http.StatusCreated)
	a.location = "/tasks/" + id.String()
	return a, err
}

func (b *Board) getTask(r *http.Request) (answer, error) {
	id, err := idOf(r)
	if err != nil {
		return answer{}, err
	}
	return b.present(r, id, http.StatusOK)
}

func (b *Board) present(r *http.Request, id uuid.UUID, status int) (answer, error) {
	task, err := b.tasks.Get(r.Context(), id)
	if err != nil {
		return answer{}, err
	}
	return answer{status: status, body: taskJSON{ID: id, Title: task.Title, Owner: task.Owner, Assignee: task.Assignee, Stage: task.Stage}}, nil
}

func (b *Board) renameTask(r *http.Request) (answer, error) {
	var given titleJSON
	return b.change(r, &given, func(id uuid.UUID) error { return b.tasks.Rename(r.Context(), id, given.Title) })
}

func (b *Board) assignTask(r *http.Request) (answer, error) {
	var given struct {
		Name string `json:"name"`
	}
	return b.change(r, &given, func(id uuid.UUID) error { return b.tasks.Assign(r.Context(), id, given.Name) })
}

func (b *Board) completeTask(r *http.Request) (answer, error) {
	return b.change(r, nil, func(id uuid.UUID) error { return b.tasks.Complete(r.Context(), id) })
}

func (b *Board) deleteTask(r *http.Request) (answer, error) {
	return b.change(r, nil, func(id uuid.UUID) error { return b.tasks.Delete(r.Context(), id) })
}

// change reads the body, if there is to be one, and does something to the task
// that the path names.
func (b *Board) change(r *http.Request, given any, do func(id uuid.UUID) error) (answer, error) {
	id, err := idOf(r)
	if err == nil && given != nil {
		err = decode(r, given)
	}
	if err == nil {
		err = do(id)
	}
	return answer{status: http.StatusNoContent}, err
}

func (b *Board) history(r *http.Request) (answer, error) {
	id, err := idOf(r)
	if err != nil {
		return answer{}, err
	}
	return found(b.tasks.History(r.Context(), id))
}

func (b *Board) feed(r *http.Request) (answer, error)   { return found(b.tasks.Feed(r.Context())) }
func (b *Board) counts(r *http.Request) (answer, error) { return found(b.tasks.Counts(r.Context())) }

// messages is what came over NATS for the caller's tenant.
func (b *Board) messages(r *http.Request) (answer, error) {
	return found(b.inbox.Messages(event.TenantFrom(r.Context())), nil)
}

func found[T any](body T, err error) (answer, error) {
	return answer{status: http.StatusOK, body: body}, err
}

func idOf(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil || id == uuid.Nil {
		return uuid.Nil, &event.InvalidError{Field: "id", Reason: "must be the id of a task"}
	}
	return id, nil
}

func (b *Board) desk() *desk {
	return &desk{people: b.people, tokens: b.tokens, log: b.log, recorder: b.recorder, now: time.Now}
}

//docs:begin access-log

// logged logs each request with whoever made it.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, begun := &statusSeen{ResponseWriter: w, status: http.StatusOK}, time.Now()
		defer logRequest(r, seen, begun)
		next.ServeHTTP(seen, r)
	})
}

func logRequest(r *http.Request, seen *statusSeen, begun time.Time) {
	httpauth.Logger(r.Context()).Info("request",
		zap.String("method", r.Method), zap.String("path", r.URL.EscapedPath()),
		zap.Int("status", seen.status), zap.Duration("took", time.Since(begun)))
}

//docs:end access-log

// statusSeen remembers the status of an answer.
type statusSeen struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusSeen) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] through: exports set deadlines.
func (w *statusSeen) Unwrap() http.ResponseWriter { return w.ResponseWriter }
