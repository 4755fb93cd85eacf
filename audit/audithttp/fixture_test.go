package audithttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

var start = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

func id(n int) uuid.UUID { return uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012x", n)) }

// live is a store whose homes have seen what is appended when Append returns.
type live struct {
	eventstore.Store

	log      *memory.AuditLog
	activity *memory.UserActivity
	broken   func() error // nil for none

	mu   sync.Mutex
	seen uint64
}

func newLive(tb testing.TB) *live {
	tb.Helper()
	store, err := memory.Open(tb.Context(), memory.Config{})
	require.NoError(tb, err)
	return &live{Store: store, log: memory.NewAuditLog(audit.Config{}), activity: memory.NewUserActivity()}
}

func (l *live) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	if l.broken != nil {
		if err := l.broken(); err != nil {
			return eventstore.Result{}, err
		}
	}
	result, err := l.Store.Append(ctx, appends...)
	if err != nil {
		return result, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for e, err := range l.ReadAll(ctx, eventstore.Query{After: l.seen}) {
		if err == nil {
			err = errors.Join(l.log.Apply(ctx, nil, e), l.activity.Apply(ctx, nil, e))
		}
		if err != nil {
			return result, err
		}
		l.seen = e.Position
	}
	return result, nil
}

// service is a handler with what is behind it.
type service struct {
	*client

	store   *live
	log     *audit.Log
	config  audithttp.Config
	reports *reports
}

// setting changes how a service is made.
type setting func(*making)

// making is what a service is made of.
type making struct {
	config   audithttp.Config
	log      audit.LogConfig
	recorder auth.RecorderConfig
	store    *live
	finder   audit.Finder
}

func newService(tb testing.TB, settings ...setting) *service {
	tb.Helper()
	s := &service{store: newLive(tb), reports: &reports{}}
	made := making{store: s.store, finder: s.store.log, log: audit.LogConfig{Report: s.reports.add, HookTimeout: time.Second}}
	made.config = audithttp.Config{
		Activity: s.store.activity.ActivityReader, Authenticate: authenticate,
		CursorKeys: [][]byte{[]byte(strings.Repeat("k", audithttp.MinKeyBytes))}, Report: s.reports.add,
	}
	for _, set := range settings {
		set(&made)
	}
	s.config = made.config
	var err error
	s.log, err = audit.NewLog(s.store, made.finder, made.log)
	require.NoError(tb, err)
	s.config.Log = s.log
	s.config.Recorder, err = auth.NewRecorder(s.log, made.recorder)
	require.NoError(tb, err)
	handler, err := audithttp.New(s.config)
	require.NoError(tb, err)
	s.client = newClient(tb, handler)
	return s
}

func configured(set func(*audithttp.Config)) setting {
	return func(m *making) { set(&m.config) }
}

func hooked(hook audit.BeforeAppend) setting {
	return func(m *making) { m.log.Before = append(m.log.Before, hook) }
}

// reports collects what the operator is told.
type reports struct {
	mu     sync.Mutex
	errors []error
}

func (r *reports) add(_ context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, err)
}

func (r *reports) all() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errors...)
}

// principals are known by their tokens.
func principals() map[string]auth.Principal {
	every := []auth.Permission{audithttp.Read, audithttp.Write, audithttp.Delegate, audithttp.Export}
	return map[string]auth.Principal{
		"alice":  {ActorID: "user:alice", TenantID: "acme", Permissions: every, Method: "test"},
		"carol":  {ActorID: "user:carol", TenantID: "acme", Permissions: every, Method: "test"},
		"bob":    {ActorID: "user:bob", TenantID: "globex", Permissions: every, Method: "test"},
		"reader": {ActorID: "user:reader", TenantID: "acme", Permissions: []auth.Permission{audithttp.Read}},
		"writer": {ActorID: "service:writer", TenantID: "acme", Permissions: []auth.Permission{audithttp.Write}},
		"poor":   {ActorID: "user:poor", TenantID: "acme"},
		"stray":  {ActorID: "user:stray", Permissions: every},
		"agent":  {ActorID: "service:agent", TenantID: "acme", OnBehalfOf: "user:dave", Permissions: []auth.Permission{audithttp.Write, audithttp.Read}},
		"ghost":  {ActorID: event.Anonymous, TenantID: "acme", Permissions: every},
	}
}

func authenticate(r *http.Request) (auth.Principal, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if p, ok := principals()[token]; ok {
		return p, nil
	}
	return auth.Principal{}, &auth.CredentialError{Reason: auth.Unknown}
}

// seed appends n records of a tenant, dated one minute after the other.
func (s *service) seed(tb testing.TB, tenant event.TenantID, n int) []audit.ActivityRecord {
	tb.Helper()
	var all []audit.ActivityRecord
	for i := range n {
		receipt, err := s.log.Append(tb.Context(), draft(tenant, i))
		require.NoError(tb, err)
		all = append(all, receipt.Records...)
	}
	return all
}

func draft(tenant event.TenantID, i int) audit.Draft {
	return audit.Draft{
		TenantID: tenant, ActorID: event.User(fmt.Sprintf("u%d", i%3)), OwnerID: fmt.Sprintf("owner%d", i%2),
		Action: "document.viewed", Entity: audit.EntityRef{Type: "Document", ID: fmt.Sprintf("d%d", i%4), Version: uint64(i + 1)},
		OccurredAt: start.Add(time.Duration(i) * time.Minute), CorrelationID: id(i % 5), Metadata: event.Metadata{"n": i},
	}
}

// records returns what is stored of a tenant with an action, oldest first.
func (s *service) records(action string) []audit.ActivityRecord {
	var found []audit.ActivityRecord
	for _, r := range s.store.log.Records() {
		if r.Action() == action {
			found = append(found, r)
		}
	}
	return found
}

// page is a page of records as a client reads it.
type page struct {
	Data       []map[string]any `json:"data"`
	HasMore    bool             `json:"has_more"`
	NextCursor string           `json:"next_cursor"`
	AsOf       struct {
		Position string `json:"position"`
	} `json:"as_of"`
}

func (p page) positions() []string {
	all := make([]string, len(p.Data))
	for i, item := range p.Data {
		all[i], _ = item["position"].(string)
	}
	return all
}

// problem is a problem as a client reads it.
type problem struct {
	Type, Title, Detail, Instance, Code string
	Status                              int
	RequestID                           string `json:"request_id"`
	Errors                              []struct{ Parameter, Pointer, Header, Code, Detail string }
}

func decode[T any](tb testing.TB, body []byte) T {
	tb.Helper()
	var value T
	require.NoError(tb, json.Unmarshal(body, &value), "%s", body)
	return value
}

func eventOf(tb testing.TB, tenant event.TenantID, kind string) event.Event {
	tb.Helper()
	return event.Event{
		ID: event.NewID(), Type: kind, SchemaVersion: 1, TenantID: tenant, OccurredAt: start.AddDate(2, 0, 0),
		CorrelationID: id(900), Data: []byte(`{}`),
	}
}

func appendEvent(tb testing.TB, s *service, e event.Event) {
	tb.Helper()
	stream := eventstore.Stream{TenantID: e.TenantID, AggregateType: "Document", AggregateID: event.NewID()}
	_, err := s.store.Append(tb.Context(), eventstore.Append{Stream: stream, Events: []event.Event{e}})
	require.NoError(tb, err)
}
