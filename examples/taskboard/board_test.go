package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/jetstream"
)

func TestTasksAndTheirRecords(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, config Config) {
		s := newSite(t, config)
		bob, gus, ada := s.as(t, "bob"), s.as(t, "gus"), s.as(t, "ada")
		path := s.create(t, bob, "Write the minutes")
		others := s.create(t, gus, "Count the stock")
		s.settled(t)

		task := read[taskJSON](t, bob, path)
		assert.Equal(t, taskJSON{ID: task.ID, Title: "Write the minutes", Owner: "user:2c90", Assignee: "user:2c90", Stage: Open}, task)
		records := read[listed](t, ada, "/v1/audit/entities/Task/"+task.ID.String()+"/records?order=asc")
		assert.Equal(t, []string{"task.created", "create_task"}, records.actions())
		for _, r := range records.Data {
			assert.Equal(t, "acme", r.TenantID)
			assert.Equal(t, "user:2c90", r.ActorID)
			assert.Equal(t, "user:2c90", r.OwnerID)
			assert.Equal(t, "127.0.0.1", r.Request.SourceAddress)
			assert.NotEmpty(t, r.Request.ID)
		}
		elsewhere := strings.TrimPrefix(others, "/tasks/")
		assert.Empty(t, read[listed](t, ada, "/v1/audit/entities/Task/"+elsewhere+"/records").Data, "another tenant's")
		assert.Len(t, read[listed](t, gus, "/v1/audit/entities/Task/"+elsewhere+"/records").Data, 2)
	})
}

func TestWhatIsNotAllowedIsRefusedAndRecorded(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, config Config) {
		s := newSite(t, config)
		bob, dan, eve, gus, ada := s.as(t, "bob"), s.as(t, "dan"), s.as(t, "eve"), s.as(t, "gus"), s.as(t, "ada")
		path := s.create(t, bob, "Write the minutes")
		for _, c := range []struct {
			who          visitor
			method, path string
			body         any
			status       int
			code         string
		}{
			{dan, http.MethodDelete, path, nil, http.StatusForbidden, "insufficient-scope"},
			{dan, http.MethodPatch, path, titleJSON{Title: "Mine"}, http.StatusForbidden, "insufficient-scope"},
			{dan, http.MethodPost, path + "/completion", nil, http.StatusForbidden, "insufficient-scope"},
			{dan, http.MethodGet, path + "/history", nil, http.StatusForbidden, "insufficient-scope"},
			{eve, http.MethodPost, "/tasks", titleJSON{Title: "Look into it"}, http.StatusForbidden, "insufficient-scope"},
			{bob, http.MethodGet, "/messages", nil, http.StatusForbidden, "insufficient-scope"},
			{gus, http.MethodGet, path, nil, http.StatusNotFound, "not-found"},
			{gus, http.MethodPatch, path, titleJSON{Title: "Mine"}, http.StatusNotFound, "not-found"},
			{gus, http.MethodDelete, path, nil, http.StatusNotFound, "not-found"},
			{s.web, http.MethodGet, path, nil, http.StatusUnauthorized, "unauthenticated"},
			{s.web, http.MethodPost, "/tasks", titleJSON{Title: "Anybody"}, http.StatusUnauthorized, "unauthenticated"},
		} {
			status, code := refused(t, c.who, c.method, c.path, c.body)
			assert.Equal(t, c.status, status, "%s %s", c.method, c.path)
			assert.Equal(t, c.code, code, "%s %s", c.method, c.path)
		}
		s.settled(t)
		denied := read[listed](t, ada, "/v1/audit/records?outcome=denied&order=asc")
		by := map[string]int{}
		for _, r := range denied.Data {
			by[r.ActorID]++
		}
		assert.Equal(t, map[string]int{"user:51ae": 4, "user:b804": 1, "user:2c90": 1}, by)
		assert.Len(t, read[listed](t, gus, "/v1/audit/records?outcome=denied").Data, 3)
		assert.Equal(t, "Write the minutes", read[taskJSON](t, bob, path).Title)
	})
}

func TestLogIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	for _, name := range []string{"bob", "nobody"} {
		status, code := refused(t, s.web, http.MethodPost, "/login", credentials{Name: name, Password: "hunter2"})
		assert.Equal(t, http.StatusUnauthorized, status)
		assert.Equal(t, "wrong-password", code)
	}
	got, err := s.web.send(t.Context(), http.MethodPost, "/login", credentials{Name: "nobody"})
	require.NoError(t, err)
	assert.Equal(t, `Bearer realm="taskboard"`, got.header.Get("WWW-Authenticate"))
	ada := s.as(t, "ada")
	s.settled(t)
	records := read[listed](t, ada, "/v1/audit/records?action=log_in&order=asc")
	require.Len(t, records.Data, 2)
	assert.Equal(t, "failure", records.Data[0].Outcome)
	assert.Equal(t, "anonymous", records.Data[0].ActorID)
	assert.Equal(t, "2c90", records.Data[0].Entity.ID)
	assert.Equal(t, "user:7f31", records.Data[1].ActorID)

	var unknown []audit.ActivityRecord
	for r, err := range s.log.ByAction(t.Context(), "auth.failed", audit.Page{}) {
		require.NoError(t, err)
		unknown = append(unknown, r)
	}
	require.Len(t, unknown, 2, "an unknown name is recorded, for no tenant")
	raw, err := json.Marshal(unknown[0])
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "nobody", "what was typed is not: it may be a password")
}

func TestAttemptsToLogInAreBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	for _, name := range []string{"bob", "nobody"} { // the two cannot be told apart.
		for range attemptBurst {
			status, _ := refused(t, s.web, http.MethodPost, "/login", credentials{Name: name, Password: "hunter2"})
			assert.Equal(t, http.StatusUnauthorized, status)
		}
		got, err := s.web.send(t.Context(), http.MethodPost, "/login", credentials{Name: name, Password: s.passwords[name]})
		require.NoError(t, err)
		require.NoError(t, got.expect(http.StatusTooManyRequests))
		assert.Equal(t, "10", got.header.Get("Retry-After"))
	}
	s.as(t, "ada") // others are not kept out.
}

func TestWhoeverGoesAwayIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	people, passwords, err := newPeople(1)
	require.NoError(t, err)
	people.hashing <- struct{}{} // somebody else logs in.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = people.Verify(ctx, "ada", passwords["ada"])
	require.ErrorIs(t, err, context.Canceled)
}

func TestTokensOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	foreign, err := newTokens()
	require.NoError(t, err)
	forged, err := foreign.issue(s.people.byName["ada"], time.Now())
	require.NoError(t, err)
	expired, err := s.tokens.issue(s.people.byName["ada"], time.Now().Add(-lifetime-time.Second))
	require.NoError(t, err)
	for _, token := range []string{forged, expired, "not a token"} {
		v := s.web
		v.token = token
		status, _ := refused(t, v, http.MethodGet, "/feed", nil)
		assert.Equal(t, http.StatusUnauthorized, status)
		status, _ = refused(t, v, http.MethodGet, "/v1/audit/records", nil)
		assert.Equal(t, http.StatusUnauthorized, status)
	}
	s.settled(t)
	count := 0
	for r, err := range s.log.ByAction(t.Context(), "auth.failed", audit.Page{}) {
		require.NoError(t, err)
		assert.Equal(t, audit.Failure, r.Outcome())
		count++
	}
	assert.Equal(t, 6, count)
}

func TestALifeOfATask(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	bob, dan := s.as(t, "bob"), s.as(t, "dan")
	path := s.create(t, bob, "Write the minutes")
	require.NoError(t, bob.do(t.Context(), http.MethodPatch, path, titleJSON{Title: "Send the minutes"}, http.StatusNoContent))
	require.NoError(t, bob.do(t.Context(), http.MethodPut, path+"/assignee", map[string]string{"name": "dan"}, http.StatusNoContent))
	status, code := refused(t, bob, http.MethodPut, path+"/assignee", map[string]string{"name": "gus"})
	assert.Equal(t, http.StatusBadRequest, status, "gus is of another tenant")
	assert.Equal(t, "invalid", code)
	require.NoError(t, dan.post(t.Context(), path+"/completion", nil, http.StatusNoContent))
	status, code = refused(t, bob, http.MethodPatch, path, titleJSON{Title: "Too late"})
	assert.Equal(t, http.StatusConflict, status)
	assert.Equal(t, "task-completed", code)
	task := read[taskJSON](t, dan, path)
	assert.Equal(t, Completed, task.Stage)
	assert.Equal(t, "Send the minutes", task.Title)
	require.NoError(t, bob.do(t.Context(), http.MethodDelete, path, nil, http.StatusNoContent))
	status, code = refused(t, bob, http.MethodGet, path, nil)
	assert.Equal(t, http.StatusGone, status)
	assert.Equal(t, "task-deleted", code)

	s.settled(t)
	var history []string
	for _, e := range read[[]Entry](t, bob, path+"/history") {
		history = append(history, e.Action+" by "+string(e.Actor))
	}
	assert.Equal(t, []string{
		"task.deleted by user:2c90", "task.completed by user:51ae", "task.assigned by user:2c90",
		"task.renamed by user:2c90", "create_task by user:2c90", "task.created by user:2c90",
	}, history)
	feed := read[[]Entry](t, bob, "/feed")
	assert.Len(t, feed, 7, "those, and the log-in")
	assert.Equal(t, "Task#"+task.ID.String(), feed[0].Entity)
	assert.Equal(t, map[string]int{"log_in": 1, "task.completed": 1}, read[map[string]int](t, dan, "/counts"))
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	bob := s.as(t, "bob")
	path := s.create(t, bob, "Write the minutes")
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/tasks", titleJSON{}},
		{http.MethodPost, "/tasks", titleJSON{Title: strings.Repeat("x", maxTitle+1)}},
		{http.MethodPost, "/tasks", titleJSON{Title: "a\x00b"}},
		{http.MethodPost, "/tasks", map[string]string{"title": "Mine", "owner": "user:7f31"}},
		{http.MethodPost, "/tasks", "no object"},
		{http.MethodPost, "/tasks", titleJSON{Title: strings.Repeat("x", maxBody)}},
		{http.MethodPatch, path, nil},
		{http.MethodPatch, "/tasks/17", titleJSON{Title: "x"}},
		{http.MethodGet, "/tasks/17", nil},
		{http.MethodGet, "/tasks/17/history", nil},
		{http.MethodPost, "/login", map[string]int{"name": 1}},
	} {
		status, code := refused(t, bob, c.method, c.path, c.body)
		assert.Equal(t, http.StatusBadRequest, status, "%s %s %.50v", c.method, c.path, c.body)
		assert.Equal(t, "invalid", code)
	}
	assert.Equal(t, "Write the minutes", read[taskJSON](t, bob, path).Title)
}

func TestABodyIsOneValue(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}{}`, `{} x`, ``, `[]`} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", strings.NewReader(body))
		var given credentials
		require.ErrorIs(t, decode(request, &given), event.ErrInvalid, "%s", body)
	}
}

// The header of an actor means nothing to anybody.
func TestNobodyCanSayThatTheyAreSomebodyElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	bob := s.as(t, "bob")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.web.base+"/tasks?actor_id=user:7f31", strings.NewReader(`{"title":"Whose?"}`))
	require.NoError(t, err)
	for name, value := range map[string]string{"Authorization": "Bearer " + bob.token, "X-Actor-Id": "user:7f31", "X-Tenant-Id": "globex"} {
		request.Header.Set(name, value)
	}
	got, err := replyTo(s.web.client, request)
	require.NoError(t, err)
	var task taskJSON
	require.NoError(t, json.Unmarshal(got.body, &task))
	assert.EqualValues(t, "user:2c90", task.Owner)
}

func TestEachActivityComesOverNATSOnce(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, config Config) {
		s := newSite(t, config)
		bob, ada, gus := s.as(t, "bob"), s.as(t, "ada"), s.as(t, "gus")
		path := s.create(t, bob, "Write the minutes")
		s.create(t, gus, "Count the stock")
		s.settled(t)

		// The same message again, under an id that the server cannot recognise.
		messages, err := s.broker.js.Stream(t.Context(), "AUDIT")
		require.NoError(t, err)
		first, err := messages.GetMsg(t.Context(), 1)
		require.NoError(t, err)
		_, err = s.broker.js.PublishMsg(t.Context(), &nats.Msg{Subject: first.Subject, Data: first.Data, Header: nats.Header{"Content-Type": {jetstream.ContentType}}})
		require.NoError(t, err)
		require.NoError(t, bob.post(t.Context(), path+"/completion", nil, http.StatusNoContent)) // comes after it.
		s.settled(t)

		seen := map[string]int{}
		subjects := map[string]bool{}
		for _, m := range read[[]Message](t, ada, "/messages") {
			assert.EqualValues(t, "acme", m.Tenant)
			seen[m.ID.String()]++
			subjects[m.Subject] = true
		}
		records := 0
		for r, err := range s.log.ForTenant("acme").Find(t.Context(), audit.Query{}) {
			require.NoError(t, err)
			if r.Action() == "audit.records.read" {
				continue
			}
			records++
			assert.Equal(t, 1, seen[r.ID().String()], "%s", r.Action())
		}
		assert.Len(t, seen, records)
		assert.Equal(t, map[string]bool{
			"audit.v1.acme.activity.recorded.User.log_in":      true,
			"audit.v1.acme.activity.recorded.Task.created":     true,
			"audit.v1.acme.activity.recorded.Task.create_task": true,
			"audit.v1.acme.activity.recorded.Task.completed":   true,
		}, subjects)
		for _, m := range read[[]Message](t, gus, "/messages") {
			assert.EqualValues(t, "globex", m.Tenant)
		}
	})
}

func TestTheLogSaysWhoActs(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	bob := s.as(t, "bob")
	s.create(t, bob, "Write the minutes")
	requests := s.logs.FilterMessage("request").All()
	require.Eventually(t, func() bool { // it is written after the answer.
		requests = s.logs.FilterMessage("request").All()
		return len(requests) == 2
	}, soon, often)
	logIn, create := requests[0].ContextMap(), requests[1].ContextMap()
	assert.Equal(t, "anonymous", logIn["actor_id"])
	assert.Equal(t, "user:2c90", create["actor_id"])
	assert.Equal(t, "acme", create["tenant_id"])
	assert.Equal(t, "/tasks", create["path"])
	assert.EqualValues(t, http.StatusCreated, create["status"])
	assert.NotEmpty(t, create["request_id"])
	assert.NotEmpty(t, create["correlation_id"])
}

// What cannot be recorded does not happen, and clients are told to come again.
func TestWithoutTheStoreNothingHappens(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	config := inFolder(t)
	config.Logger = zap.New(core)
	b, err := open(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, b.store.events.Close())
	defer b.broker.Close()
	token, err := b.tokens.issue(b.people.byName["ada"], time.Now())
	require.NoError(t, err)
	for _, c := range []struct{ method, path, token, body string }{
		{http.MethodPost, "/login", "", `{"name":"bob","password":"hunter2"}`},
		{http.MethodPost, "/login", "", `{"name":"nobody","password":"hunter2"}`},
		{http.MethodPost, "/login", "", `{"name":"ada","password":"` + b.passwords["ada"] + `"}`},
		{http.MethodPost, "/tasks", "", `{"title":"Anybody"}`},
		{http.MethodGet, "/feed", "forged", ``},
		{http.MethodPost, "/tasks", token, `{"title":"Mine"}`},
		{http.MethodGet, "/feed", token, ``},
		{http.MethodGet, "/counts", token, ``},
		{http.MethodGet, "/v1/audit/records", token, ``},
	} {
		request := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		if c.token != "" {
			request.Header.Set("Authorization", "Bearer "+c.token)
		}
		answer := httptest.NewRecorder()
		b.handler.ServeHTTP(answer, request)
		assert.Equal(t, http.StatusServiceUnavailable, answer.Code, "%s %s: %s", c.method, c.path, answer.Body)
		assert.NotEmpty(t, answer.Header().Get("Retry-After"), "%s %s", c.method, c.path)
	}
	assert.NotZero(t, logs.FilterMessage("audit API").Len())
}
