package httpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func Example() {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	middleware, err := httpauth.New(httpauth.Config{APIKey: keys, Recorder: recorder}) // Bearer takes a jwtauth.Authenticator
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tasks", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "tasks of ", event.TenantFrom(r.Context()), " for ", event.ActorFrom(r.Context()))
	})
	mux.Handle("POST /tasks", httpauth.RequirePermission("task:create")(http.NotFoundHandler()))
	handler := middleware.Handler(mux)

	key, _, err := keys.Issue(ctx, auth.Principal{ActorID: event.Service("mailer"), TenantID: "acme"}, time.Time{})
	if err != nil {
		fmt.Println(err)
	}
	for _, call := range []struct{ method, key string }{
		{http.MethodGet, key}, {http.MethodPost, key}, {http.MethodGet, ""}, {http.MethodGet, "guessed"},
	} {
		r := httptest.NewRequest(call.method, "/tasks", http.NoBody)
		if call.key != "" {
			r.Header.Set("X-API-Key", call.key)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
		} else {
			fmt.Println(w.Code, w.Header().Values("WWW-Authenticate"))
		}
	}
	for record, err := range log.Recent(ctx, audit.Page{OldestFirst: true}) {
		fmt.Println(record.ActorID(), record.Action(), record.Reason(), err)
	}
	// Output:
	// 200 tasks of acme for service:mailer
	// 403 []
	// 401 [ApiKey realm="api", header="X-Api-Key"]
	// 401 [ApiKey realm="api", header="X-Api-Key"]
	// service:mailer auth.denied lacks the permission task:create <nil>
	// anonymous auth.failed credential refused: malformed <nil>
}
