package audithttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
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
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{}) // in earnest: the one of httpauth
	if err != nil {
		fmt.Println(err)
		return
	}
	handler, err := audithttp.New(audithttp.Config{
		Log:      log,
		Activity: audit.ReplayActivities(store),
		Recorder: recorder,
		Authenticate: func(*http.Request) (auth.Principal, error) { // in earnest: httpauth
			return auth.Principal{ActorID: "user:alice", TenantID: "acme", Permissions: []auth.Permission{audithttp.Read, audithttp.Write}}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/audit", handler)
	mux.Handle("/v1/audit/", handler)

	body := `{"action": "document.exported", "entity": {"type": "Document", "id": "4711"}}`
	request := httptest.NewRequest(http.MethodPost, "/v1/audit/records", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, request)
	fmt.Println(answer.Code)

	answer = httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/v1/audit/records?actoor_id=user:alice", http.NoBody))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	for record, err := range log.ByActor(ctx, "user:alice", audit.Page{}) {
		fmt.Println(record, err)
	}
	// Output:
	// 201
	// 400 application/problem+json
	// #1 user:alice document.exported Document/4711 <nil>
}

func ExamplePerPrincipal() {
	limit, err := audithttp.PerPrincipal(1, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	alice := auth.Principal{ActorID: "user:alice"}
	for range 3 {
		_, ok := limit(nil, alice)
		fmt.Println(ok)
	}
	// Output:
	// true
	// true
	// false
}
