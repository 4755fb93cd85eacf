package audithttp_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestAppendRecordsWhatThePrincipalDid(t *testing.T) {
	t.Parallel()
	s := newService(t)
	got := s.post("/v1/audit/records", `{
		"occurred_at": "2024-05-01T12:00:00.123456+02:00", "owner_id": "carol", "action": "document.exported",
		"entity": {"type": "Document", "id": "4711/a", "version": "18446744073709551615"}, "outcome": "failure",
		"reason": "printer on fire", "purpose": "tax audit", "description": "Alice tried",
		"correlation_id": "01900000-0000-7000-8000-0000000000aa", "causation_id": "01900000-0000-7000-8000-0000000000ab",
		"metadata": {"pages": 3, "ratio": 0.5, "big": 18446744073709551615, "draft": true, "none": null, "e": 1e3, "text": "x"}
	}`, with("X-Request-Id", "req-1"), with("User-Agent", "curl/8\x1b[31m"), with("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
	require.Equal(t, http.StatusCreated, got.Code, short(got.Body))
	assert.Equal(t, "req-1", got.Header().Get("X-Request-Id"))
	assert.Empty(t, got.Header().Get("Idempotency-Replayed"))
	stored := s.store.log.Records()[0]
	d := stored.Draft()
	assert.Equal(t, "/v1/audit/records/"+d.ID.String(), got.Header().Get("Location"))
	assert.Equal(t, event.ActorID("user:alice"), d.ActorID)
	assert.Equal(t, event.TenantID("acme"), d.TenantID)
	assert.Equal(t, "2024-05-01T10:00:00.123456Z", d.OccurredAt.Format("2006-01-02T15:04:05.999999Z07:00"))
	assert.Equal(t, audit.EntityRef{Type: "Document", ID: "4711/a", Version: 1<<64 - 1}, d.Entity)
	assert.Equal(t, audit.Failure, d.Outcome)
	assert.Equal(t, []string{"carol", "printer on fire", "tax audit", "Alice tried"}, []string{d.OwnerID, d.Reason, d.Purpose, d.Description})
	assert.Equal(t, id(0xaa), d.CorrelationID)
	assert.Equal(t, id(0xab), d.CausationID)
	assert.Equal(t, audit.Request{
		ID: "req-1", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", SourceAddress: "192.0.2.1", UserAgent: "curl/8\uFFFD[31m",
	}, d.Request)
	assert.Equal(t, event.Metadata{
		"pages": int64(3), "ratio": 0.5, "big": uint64(1<<64 - 1), "draft": true, "none": nil, "e": 1000.0, "text": "x", "auth_method": "test",
	}, d.Metadata)
	again := s.get(got.Header().Get("Location"))
	assert.JSONEq(t, got.Body.String(), again.Body.String(), "what was answered is what is stored")
}

func TestTheSameKeyStoresOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	key := with("Idempotency-Key", "order-4711")
	first := s.post("/v1/audit/records", newRecord, key, with("X-Request-Id", "one"))
	require.Equal(t, http.StatusCreated, first.Code, short(first.Body))
	again := s.post("/v1/audit/records", newRecord, key, with("X-Request-Id", "two"), with("User-Agent", "other"))
	require.Equal(t, http.StatusCreated, again.Code, short(again.Body))
	assert.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
	assert.JSONEq(t, first.Body.String(), again.Body.String())
	assert.Equal(t, first.Header().Get("Location"), again.Header().Get("Location"))
	assert.Len(t, s.store.log.Records(), 1)

	for _, other := range []string{
		strings.Replace(newRecord, "4711", "4712", 1), strings.Replace(newRecord, "exported", "printed", 1), strings.Replace(newRecord, `"pages":3`, `"pages":4`, 1),
		strings.Replace(newRecord, `{`, `{"reason":"x",`, 1), strings.Replace(newRecord, `{`, `{"occurred_at":"2024-01-01T00:00:00Z",`, 1),
		strings.Replace(newRecord, `{`, `{"correlation_id":"`+id(1).String()+`",`, 1), strings.Replace(newRecord, `{`, `{"causation_id":"`+id(1).String()+`",`, 1),
		strings.Replace(newRecord, `,"metadata":{"pages":3}`, ``, 1),
	} {
		s.refused(s.post("/v1/audit/records", other, key), http.StatusConflict, "idempotency-conflict")
	}
	batch := s.post("/v1/audit/records:batch", `{"records":[`+newRecord+`,`+newRecord+`]}`, key)
	s.refused(batch, http.StatusConflict, "idempotency-conflict")
	assert.Len(t, s.store.log.Records(), 1)
	for _, somebodyElse := range []string{"carol", "bob", "writer"} {
		got := s.post("/v1/audit/records", newRecord, key, as(somebodyElse))
		require.Equal(t, http.StatusCreated, got.Code)
		assert.Empty(t, got.Header().Get("Idempotency-Replayed"), "a key belongs to tenant and actor")
	}
	assert.Len(t, s.store.log.Records(), 4)
}

func TestTheSameKeyAtTheSameTimeStoresOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			got := s.post("/v1/audit/records", newRecord, with("Idempotency-Key", fmt.Sprint("k", i%2)))
			assert.Equal(t, http.StatusCreated, got.Code, short(got.Body))
		})
	}
	group.Wait()
	assert.Len(t, s.store.log.Records(), 2)
}

// A conflict with an append that has not stayed says nothing of the key.
func TestAConflictWithNobodyIsWorthTryingAgain(t *testing.T) {
	t.Parallel()
	conflicts := 1
	s := newService(t, func(m *making) {
		m.store.broken = func() error {
			if conflicts--; conflicts >= 0 {
				return &eventstore.ConflictError{}
			}
			return nil
		}
	})
	key := with("Idempotency-Key", "k")
	s.refused(s.post("/v1/audit/records", newRecord, key), http.StatusServiceUnavailable, "log-unavailable")
	assert.Equal(t, http.StatusCreated, s.post("/v1/audit/records", newRecord, key).Code)
}

func TestABatchIsStoredWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	s := newService(t)
	other := strings.Replace(newRecord, "4711", "4712", 1)
	key := with("Idempotency-Key", "b")
	got := s.post("/v1/audit/records:batch", `{"records":[`+newRecord+`,`+other+`]}`, key)
	require.Equal(t, http.StatusCreated, got.Code, short(got.Body))
	stored := decode[page](t, got.Body.Bytes()).Data
	require.Len(t, stored, 2)
	assert.Equal(t, "4712", stored[1]["entity"].(map[string]any)["id"])
	again := s.post("/v1/audit/records:batch", `{"records":[`+newRecord+`,`+other+`]}`, key)
	assert.Equal(t, "true", again.Header().Get("Idempotency-Replayed"))
	for _, body := range []string{
		`{"records":[` + newRecord + `]}`, `{"records":[` + other + `,` + newRecord + `]}`, `{"records":[` + newRecord + `,` + other + `,` + other + `]}`,
	} {
		s.refused(s.post("/v1/audit/records:batch", body, key), http.StatusConflict, "idempotency-conflict")
	}
	p := s.refused(s.post("/v1/audit/records:batch", `{"records":[`+newRecord+`,{"action":"Bad","entity":{"type":"D","id":""}},7]}`), http.StatusBadRequest, "invalid-field")
	require.Len(t, p.Errors, 2)
	assert.Equal(t, "/records/1/action", p.Errors[0].Pointer)
	assert.Equal(t, "/records/2", p.Errors[1].Pointer)
	assert.Len(t, s.store.log.Records(), 2)
	many := `{"records":[` + strings.TrimSuffix(strings.Repeat(`{"action":"a","entity":{"type":"T","id":"1"}},`, audit.MaxAppend), ",")
	assert.Equal(t, http.StatusCreated, s.post("/v1/audit/records:batch", many+`]}`).Code)
	p = s.refused(s.post("/v1/audit/records:batch", many+`,`+newRecord+`]}`), http.StatusBadRequest, "invalid-field")
	assert.Equal(t, "/records", p.Errors[0].Pointer)
}

func TestWhatIsWrongWithABodyIsNamed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	record := func(extra string) string { return strings.Replace(newRecord, "{", "{"+extra+",", 1) }
	metadata := func(inner string) string {
		return `{"action":"a","entity":{"type":"T","id":"1"},"metadata":{` + inner + `}}`
	}
	var keys []string
	for i := range 51 {
		keys = append(keys, fmt.Sprintf(`"k%d":1`, i))
	}
	for _, c := range []struct{ body, code, pointer string }{
		{``, "invalid-body", ""},
		{`{`, "invalid-body", ""},
		{`[]`, "invalid-body", ""},
		{`null`, "invalid-body", ""},
		{`"text"`, "invalid-body", ""},
		{newRecord + ` {}`, "invalid-body", ""},
		{newRecord + `x`, "invalid-body", ""},
		{"\xef\xbb\xbf" + newRecord, "invalid-body", ""},
		{strings.Replace(newRecord, "4711", "\xff", 1), "invalid-body", ""},
		{strings.Replace(newRecord, "4711", `\ud800`, 1), "invalid-body", ""},
		{strings.Replace(newRecord, "4711", `a\u0000b`, 1), "invalid-field", "/entity/id"},
		{strings.Replace(newRecord, "4711", strings.Repeat("x", 257), 1), "invalid-field", "/entity/id"},
		{record(`"action":"twice"`), "invalid-field", "/action"},
		{record(`"nope":1`), "unknown-field", "/nope"},
		{record(`"Action":"a"`), "unknown-field", "/Action"},
		{record(`"a/b~c":1`), "unknown-field", "/a~1b~0c"},
		{record(`"actor_id":"user:root"`), "field-not-allowed", "/actor_id"},
		{record(`"tenant_id":"globex"`), "field-not-allowed", "/tenant_id"},
		{record(`"recorded_at":"2024-01-01T00:00:00Z"`), "field-not-allowed", "/recorded_at"},
		{record(`"position":"1"`), "field-not-allowed", "/position"},
		{record(`"id":"01900000-0000-7000-8000-000000000001"`), "field-not-allowed", "/id"},
		{record(`"request":{}`), "field-not-allowed", "/request"},
		{record(`"owner_id":7`), "invalid-field", "/owner_id"},
		{record(`"owner_id":null`), "invalid-field", "/owner_id"},
		{record(`"outcome":"ok"`), "invalid-field", "/outcome"},
		{record(`"reason":"a\nb"`), "invalid-field", "/reason"},
		{record(`"reason":"` + strings.Repeat("x", 501) + `"`), "invalid-field", "/reason"},
		{record(`"occurred_at":"yesterday"`), "invalid-field", "/occurred_at"},
		{record(`"occurred_at":"9999-12-31T23:59:59-12:00"`), "invalid-field", "/occurred_at"},
		{record(`"occurred_at":1700000000`), "invalid-field", "/occurred_at"},
		{record(`"on_behalf_of":"dave"`), "invalid-field", "/on_behalf_of"},
		{record(`"correlation_id":"1"`), "invalid-field", "/correlation_id"},
		{record(`"metadata2":{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":1}}}}}}}}`), "invalid-body", "/metadata2/a/b/c/d/e/f/g"},
		{`{"action":"a"}`, "invalid-field", "/entity"},
		{`{"entity":{"type":"T","id":"1"}}`, "invalid-field", "/action"},
		{`{"action":"a","entity":"T/1"}`, "invalid-field", "/entity"},
		{`{"action":"a","entity":{"type":"T"}}`, "invalid-field", "/entity/id"},
		{`{"action":"a","entity":{"type":"T","id":"1","version":1}}`, "invalid-field", "/entity/version"},
		{`{"action":"a","entity":{"type":"T","id":"1","version":"-1"}}`, "invalid-field", "/entity/version"},
		{`{"action":"a","entity":{"type":"T","id":"1","name":"x"}}`, "unknown-field", "/entity/name"},
		{`{"action":"a b","entity":{"type":"T","id":"1"}}`, "invalid-field", "/action"},
		{metadata(`"list":[1]`), "invalid-field", "/metadata/list"},
		{metadata(`"map":{}`), "invalid-field", "/metadata/map"},
		{metadata(`"n":1e400`), "invalid-field", "/metadata/n"},
		{metadata(`"n":18446744073709551616`), "invalid-field", "/metadata/n"},
		{metadata(`"text":"` + strings.Repeat("x", 501) + `"`), "invalid-field", "/metadata/text"},
		{metadata(`"nul":"a\u0000"`), "invalid-field", "/metadata/nul"},
		{metadata(strings.Join(keys, ",")), "invalid-field", "/metadata"},
		{`{"action":"a","entity":{"type":"T","id":"1"},"metadata":[]}`, "invalid-field", "/metadata"},
	} {
		p := s.refused(s.post("/v1/audit/records", c.body), http.StatusBadRequest, c.code)
		if c.pointer != "" && assert.NotEmpty(t, p.Errors, c.body) {
			assert.Equal(t, c.pointer, p.Errors[0].Pointer, c.body)
		}
	}
	for _, body := range []string{`{}`, `{"records":[]}`, `{"records":{}}`, `{"records":null}`} {
		p := s.refused(s.post("/v1/audit/records:batch", body), http.StatusBadRequest, "invalid-field")
		assert.Equal(t, "/records", p.Errors[0].Pointer, body)
	}
	s.refused(s.post("/v1/audit/records:batch", `{"records":[`+newRecord+`],"x":1}`), http.StatusBadRequest, "unknown-field")
	assert.Empty(t, s.store.log.Records())
	replacement := s.post("/v1/audit/records", strings.Replace(newRecord, "4711", `\uFFFD�`, 1))
	assert.Equal(t, http.StatusCreated, replacement.Code, "the replacement character itself is one like any other")
}

func TestHeadersOfAPost(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, key := range [][]string{{""}, {"a b"}, {"ä"}, {strings.Repeat("x", 256)}, {"a", "b"}} {
		p := s.refused(s.post("/v1/audit/records", newRecord, with("Idempotency-Key", key...)), http.StatusBadRequest, "invalid-header")
		assert.Equal(t, "Idempotency-Key", p.Errors[0].Header)
	}
	for _, kind := range [][]string{{""}, {"text/plain"}, {"application/json; charset=latin1"}, {"application/xml"}, {"a", "b"}} {
		s.refused(s.post("/v1/audit/records", newRecord, with("Content-Type", kind...)), http.StatusUnsupportedMediaType, "unsupported-media-type")
	}
	s.refused(s.post("/v1/audit/records", newRecord, with("Content-Encoding", "gzip")), http.StatusUnsupportedMediaType, "unsupported-media-type")
	assert.Equal(t, http.StatusCreated, s.post("/v1/audit/records", newRecord, with("Content-Type", "application/json; charset=UTF-8")).Code)
	s.refused(s.post("/v1/audit/records", strings.Repeat(" ", 1<<20)+newRecord), http.StatusRequestEntityTooLarge, "too-large")
}

func TestActingForSomebodyElseNeedsAScopeAndIsRecorded(t *testing.T) {
	t.Parallel()
	s := newService(t)
	body := strings.Replace(newRecord, "{", `{"on_behalf_of":"user:dave",`, 1)
	s.refused(s.post("/v1/audit/records", body, as("writer")), http.StatusForbidden, "insufficient-scope")
	require.Equal(t, http.StatusCreated, s.post("/v1/audit/records", body).Code)
	require.Equal(t, http.StatusCreated, s.post("/v1/audit/records", newRecord, as("agent")).Code)
	require.Equal(t, http.StatusCreated, s.post("/v1/audit/records", body, as("agent")).Code, "that is whose rights it has")
	other := strings.Replace(body, "dave", "erin", 1)
	s.refused(s.post("/v1/audit/records", other, as("agent")), http.StatusForbidden, "insufficient-scope")
	written := s.records("document.exported")
	require.Len(t, written, 3)
	for i, actor := range []event.ActorID{"user:alice", "service:agent", "service:agent"} {
		assert.Equal(t, actor, written[i].ActorID())
		assert.Equal(t, event.ActorID("user:dave"), written[i].OnBehalfOf())
	}
	denied := s.records(auth.ActionDenied)
	require.Len(t, denied, 2)
	assert.Equal(t, "lacks the permission audit:write.delegate", denied[0].Reason())
}

func TestIDsOfKeysAreOfVersion5(t *testing.T) {
	t.Parallel()
	s := newService(t)
	got := s.post("/v1/audit/records", newRecord, with("Idempotency-Key", "k"))
	record := decode[map[string]any](t, got.Body.Bytes())
	parsed, err := uuid.Parse(record["id"].(string))
	require.NoError(t, err)
	assert.Equal(t, uuid.Version(5), parsed.Version())
}
