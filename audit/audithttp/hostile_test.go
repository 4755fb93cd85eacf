package audithttp_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// How the actor was verified and where the request came from stands among the
// metadata, too: there a client could claim another token than its own.
func TestMetadataThatTheServerSaysIsNotTheClients(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, key := range []string{
		auth.KeyMethod, auth.KeyToken, auth.KeySession, audit.KeyOnBehalfOf,
		audit.KeyRequest, audit.KeyTraceparent, audit.KeySourceAddress, audit.KeyUserAgent,
	} {
		forged := strings.Replace(newRecord, `"pages":3`, fmt.Sprintf(`%q:"forged"`, key), 1)
		p := s.refused(s.post("/v1/audit/records", forged), http.StatusBadRequest, "field-not-allowed")
		assert.Equal(t, "/metadata/"+key, p.Errors[0].Pointer)
		s.refused(s.post("/v1/audit/records:batch", `{"records":[`+newRecord+`,`+forged+`]}`), http.StatusBadRequest, "field-not-allowed")
	}
	assert.Empty(t, s.store.log.Records())
}

// Evidence of refusals and of reading is the server's to give.
func TestActionsOfTheServerAreNotTheClients(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, action := range []string{auth.ActionDenied, auth.ActionFailed, "auth.x", "auth.", "audit.records.read", "audit.x.y"} {
		forged := strings.Replace(newRecord, "document.exported", action, 1)
		p := s.refused(s.post("/v1/audit/records", forged), http.StatusBadRequest, "field-not-allowed")
		assert.Equal(t, "/action", p.Errors[0].Pointer)
		p = s.refused(s.post("/v1/audit/records:batch", `{"records":[`+newRecord+`,`+forged+`]}`), http.StatusBadRequest, "field-not-allowed")
		assert.Equal(t, "/records/1/action", p.Errors[0].Pointer)
	}
	assert.Empty(t, s.store.log.Records())
	for _, action := range []string{"authors.named", "audits", "document.audit.started"} {
		assert.Equal(t, http.StatusCreated, s.post("/v1/audit/records", strings.Replace(newRecord, "document.exported", action, 1)).Code, action)
	}
}

// What a middleware put into the context is the application's word.
func TestMetadataOfTheContextIsNotTheClients(t *testing.T) {
	t.Parallel()
	s := newService(t)
	inner := s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(event.WithMetadata(r.Context(), event.Metadata{"region": "eu"})))
	})
	forged := strings.Replace(newRecord, `"pages":3`, `"region":"us"`, 1)
	s.refused(s.post("/v1/audit/records", forged), http.StatusBadRequest, "field-not-allowed")
	require.Equal(t, http.StatusCreated, s.post("/v1/audit/records", newRecord).Code)
	assert.Equal(t, "eu", s.store.log.Records()[0].Metadata()["region"])
}

// A chain of n records must not be drawn n levels deep: that is n² bytes.
func TestAChainIsDrawnInBoundedSpace(t *testing.T) {
	t.Parallel()
	const n = 3000
	s := newService(t)
	for from := 0; from < n; from += audit.MaxAppend {
		drafts := make([]audit.Draft, audit.MaxAppend)
		for i := range drafts {
			drafts[i] = draft("acme", from+i)
			drafts[i].ID, drafts[i].CorrelationID = id(10_000+from+i), id(9)
			if from+i > 0 {
				drafts[i].CausationID = id(10_000 + from + i - 1)
			}
		}
		_, err := s.log.Append(t.Context(), drafts...)
		require.NoError(t, err)
	}
	got := s.get("/v1/audit/traces/"+id(9).String(), accepting("text/plain"))
	require.Equal(t, http.StatusOK, got.Code)
	assert.Equal(t, n+1, strings.Count(got.Body.String(), "\n"), "each record has its line")
	assert.Less(t, got.Body.Len(), n*500)
}

func TestATraceThatIsTooLargeIsRecordedAsRead(t *testing.T) {
	t.Parallel()
	s := newService(t, func(m *making) { m.finder = endless{m.store.log, audit.MaxTraceRecords + 1} })
	s.refused(s.get("/v1/audit/traces/"+id(7).String()), http.StatusUnprocessableEntity, "trace-too-large")
	assert.Len(t, s.records("audit.trace.read"), 1)
}

func TestHalfASurrogatePairCannotHideBehindAnEscapedBackslash(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, reason := range []string{`\ud800 \\ufffd`, `\udc00`, `\ud83d\ud83d\ude00`, `\ud83dx`, `\\\ud83d`, `\uD83D\\uDE00`} {
		body := strings.Replace(newRecord, `{`, `{"reason":"`+reason+`",`, 1)
		s.refused(s.post("/v1/audit/records", body), http.StatusBadRequest, "invalid-body")
	}
	for reason, stored := range map[string]string{
		`\ud83d\ude00`: "😀", `\\ud800`: `\ud800`, `\ufffd`: "\uFFFD", "\uFFFD": "\uFFFD", `\uD83D\uDE00\\`: `😀\`,
	} {
		body := strings.Replace(newRecord, `{`, `{"reason":"`+reason+`",`, 1)
		got := s.post("/v1/audit/records", body)
		require.Equal(t, http.StatusCreated, got.Code, "%s: %s", reason, short(got.Body))
		assert.Equal(t, stored, decode[map[string]any](t, got.Body.Bytes())["reason"])
	}
}

func TestARefusalIsNotMuchLargerThanItsRequest(t *testing.T) {
	t.Parallel()
	s := newService(t)
	fields := make(map[string]int)
	for i := range 60_000 {
		fields[fmt.Sprintf("f%d", i)] = 0
	}
	body, err := json.Marshal(fields)
	require.NoError(t, err)
	var query strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&query, "q%d&", i)
	}
	for _, got := range []answer{s.post("/v1/audit/records", string(body)), s.get("/v1/audit/records?" + query.String())} {
		require.Equal(t, http.StatusBadRequest, got.Code)
		assert.Less(t, got.Body.Len(), 64<<10)
		assert.Len(t, s.problem(got).Errors, 100)
	}
}

// An export goes on as long as the client reads, whatever the server's
// timeouts: those are for other requests.
func TestAnExportOutlivesTheTimeoutsOfTheServer(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		s := newService(t, configured(func(c *audithttp.Config) { c.StallTimeout = 150 * time.Millisecond }),
			func(m *making) { m.finder = sluggish{m.store.log, 400 * time.Millisecond} })
		s.seed(t, "acme", 3)
		server := httptest.NewUnstartedServer(s.handler)
		server.EnableHTTP2 = http2
		server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
		server.StartTLS()
		t.Cleanup(server.Close)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/audit/records", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Accept", "application/x-ndjson")
		response, err := server.Client().Do(r)
		require.NoError(t, err, "HTTP/2: %t", http2)
		t.Cleanup(func() { _ = response.Body.Close() })
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err, "HTTP/2: %t", http2)
		assert.Contains(t, string(body), `{"trailer"`)
	}
}

func TestABodyThatTricklesIsLeft(t *testing.T) {
	t.Parallel()
	s := newService(t, configured(func(c *audithttp.Config) { c.Timeout = 100 * time.Millisecond }))
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "POST /v1/audit/records HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "timeout", decode[problem](t, body).Code)
}
