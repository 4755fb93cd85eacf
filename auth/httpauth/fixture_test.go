package httpauth_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/auth/httpauth"
	"github.com/evident-go/evident/auth/jwtauth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://id.example.com"

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// claims are those of a token that is accepted, apart from the changes.
func claims(change map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": issuer, "aud": "tasks", "sub": "alice", "tenant_id": "acme", "scope": "task:read",
		"exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "jti": "t1",
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

func sign(t *testing.T, algorithm string, key any, kid string, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), c)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return text
}

func token(t *testing.T, change map[string]any) string {
	t.Helper()
	return sign(t, "RS256", rsaKey(), "k1", claims(change))
}

// service is a handler behind a middleware, with a log that is a real one.
type service struct {
	http.Handler

	middleware *httpauth.Middleware
	store      eventstore.Store
	log        *audit.Log
	logs       *observer.ObservedLogs
	keys       *auth.APIKeys
	called     int
	seen       context.Context
}

func serve(t *testing.T, change func(*httpauth.Config)) *service {
	t.Helper()
	s := &service{}
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s.store = store
	s.log, err = audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	require.NoError(t, err)
	recorder, err := auth.NewRecorder(s.log, auth.RecorderConfig{})
	require.NoError(t, err)
	tokens, err := jwtauth.New(jwtauth.Config{
		Algorithms: []string{jwtauth.RS256}, Issuer: issuer, Audience: []string{"tasks"},
		Keys: jwtauth.Keys{{ID: "k1", Algorithm: jwtauth.RS256, Material: &rsaKey().PublicKey}},
	})
	require.NoError(t, err)
	s.keys, err = auth.NewAPIKeys(&auth.MemoryKeys{}, auth.APIKeysConfig{})
	require.NoError(t, err)
	core, logs := observer.New(zap.DebugLevel)
	s.logs = logs
	config := httpauth.Config{Bearer: tokens, APIKey: s.keys, Recorder: recorder, Logger: zap.New(core)}
	if change != nil {
		change(&config)
	}
	s.middleware, err = httpauth.New(config)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.called++
		s.seen = r.Context()
		httpauth.Logger(r.Context()).Info("handled")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("/create", httpauth.RequirePermission("task:create")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.called++ })))
	s.Handler = s.middleware.Handler(mux)
	return s
}

func request(path string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func bearer(text string) *http.Request { return request("/", "Authorization", "Bearer "+text) }

func (s *service) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *service) records(t *testing.T) []audit.ActivityRecord {
	t.Helper()
	var records []audit.ActivityRecord
	for record, err := range s.log.Recent(t.Context(), audit.Page{OldestFirst: true}) {
		require.NoError(t, err)
		records = append(records, record)
	}
	return records
}

func body(t *testing.T, response *httptest.ResponseRecorder) httpauth.Problem {
	t.Helper()
	var p httpauth.Problem
	require.NoError(t, json.NewDecoder(response.Body).Decode(&p))
	assert.Equal(t, "application/problem+json", response.Header().Get("Content-Type"))
	assert.Equal(t, "no-store", response.Header().Get("Cache-Control"))
	assert.Equal(t, "about:blank", p.Type)
	assert.Equal(t, response.Code, p.Status)
	assert.Equal(t, http.StatusText(p.Status), p.Title)
	assert.Equal(t, response.Header().Get("X-Request-Id"), p.RequestID)
	return p
}

// refused asserts that an attack got nowhere, and that it is in the log.
func (s *service) refused(t *testing.T, response *httptest.ResponseRecorder, reason auth.Reason) audit.ActivityRecord {
	t.Helper()
	p := body(t, response)
	assert.Equal(t, http.StatusUnauthorized, p.Status)
	assert.Equal(t, httpauth.CodeUnauthenticated, p.Code)
	require.NotEmpty(t, response.Header().Values("WWW-Authenticate"))
	assert.Zero(t, s.called, "the handler was never called")
	records := s.records(t)
	require.Len(t, records, 1, "the attempt is recorded")
	record := records[0]
	assert.Equal(t, auth.ActionFailed, record.Action())
	assert.Equal(t, audit.Failure, record.Outcome())
	assert.Equal(t, event.Anonymous, record.ActorID())
	assert.Empty(t, record.TenantID())
	assert.Equal(t, string(reason), record.Metadata()[auth.KeyReason])
	assert.Equal(t, "192.0.2.1", record.Request().SourceAddress)
	assert.Equal(t, p.RequestID, record.Request().ID)
	return record
}

var errDown = errors.New("store is down")

type brokenLog struct{}

func (brokenLog) Append(context.Context, ...audit.Draft) (audit.Receipt, error) {
	return audit.Receipt{}, errDown
}
