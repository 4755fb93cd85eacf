package audithttp_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

func TestListShowsTheTenantsRecordsMostRecentFirst(t *testing.T) {
	t.Parallel()
	s := newService(t)
	mine := s.seed(t, "acme", 3)
	s.seed(t, "globex", 2)
	got := s.page("/v1/audit/records")
	require.Len(t, got.Data, 3)
	assert.Equal(t, mine[2].ID().String(), got.Data[0]["id"])
	assert.Equal(t, "3", got.AsOf.Position)
	assert.False(t, got.HasMore)
	assert.Empty(t, got.NextCursor)
}

func TestEveryFilterIsExact(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 12)
	_, err := s.log.Append(t.Context(), audit.Draft{
		TenantID: "acme", ActorID: "service:mailer", OnBehalfOf: "user:u1", Action: "mail.sent", Outcome: audit.Failure,
		Entity: audit.EntityRef{Type: "Mail", ID: "m/1?&=#%"}, OccurredAt: start.AddDate(1, 0, 0),
	})
	require.NoError(t, err)
	e := eventOf(t, "acme", "DocumentCreated")
	appendEvent(t, s, e)
	for name, want := range map[string]int{
		"actor_id=user:u1": 4, "actor_id=service:mailer": 1, "actor_id=anonymous": 1, "on_behalf_of=user:u1": 1, "owner_id=owner1": 6,
		"action=mail.sent": 1, "entity_type=Mail": 1, "entity_id=d1": 3, "entity_id=" + url.QueryEscape("m/1?&=#%"): 1,
		"outcome=failure": 1, "outcome=denied": 0, "event_type=DocumentCreated": 1, "correlation_id=" + id(2).String(): 2,
		"occurred_at[gte]=2024-01-15T10:41:00Z":                                                      3,
		"occurred_at[gt]=2024-01-15T10:41:00Z":                                                       2,
		"occurred_at[lt]=2024-01-15T10:31:00Z":                                                       1,
		"occurred_at[lte]=2024-01-15T10:31:00Z":                                                      2,
		"occurred_at[gte]=2024-01-15T12:31:00%2B02:00&occurred_at[lt]=2024-01-15T10:33:00Z":          2,
		"occurred_at[gt]=2024-01-15T10:30:59.9999999Z&occurred_at[lte]=2024-01-15T10:31:00.0000001Z": 1,
		"actor_id=user:u1&entity_id=d1":                                                              1,
	} {
		got := s.page("/v1/audit/records?" + name)
		found := slices.DeleteFunc(got.Data, func(r map[string]any) bool { return strings.HasPrefix(r["action"].(string), "audit.") })
		assert.Len(t, found, want, name)
	}
}

func TestUnknownRepeatedAndWrongParametersAreNamed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for query, want := range map[string]struct{ parameter, code string }{
		"actorid=user:u1":                      {"actorid", "unknown-parameter"},
		"tenant_id=globex":                     {"tenant_id", "unknown-parameter"},
		"occurred_at=2024-01-15T10:41:00Z":     {"occurred_at", "unknown-parameter"},
		"occurred_at[eq]=2024-01-15T10:41:00Z": {"occurred_at[eq]", "unknown-parameter"},
		"actor_id=user:a&actor_id=user:b":      {"actor_id", "repeated-parameter"},
		"actor_id=":                            {"actor_id", "invalid-parameter"},
		"actor_id=alice":                       {"actor_id", "invalid-parameter"},
		"actor_id=user:%ff":                    {"actor_id", "invalid-parameter"},
		"owner_id=a%00b":                       {"owner_id", "invalid-parameter"},
		"owner_id=" + strings.Repeat("x", 257): {"owner_id", "invalid-parameter"},
		"action=Document.Viewed":               {"action", "invalid-parameter"},
		"action=" + strings.Repeat("x", 300):   {"action", "invalid-parameter"},
		"outcome=ok":                           {"outcome", "invalid-parameter"},
		"order=newest":                         {"order", "invalid-parameter"},
		"limit=0":                              {"limit", "invalid-parameter"},
		"limit=201":                            {"limit", "invalid-parameter"},
		"limit=%2B5":                           {"limit", "invalid-parameter"},
		"limit=ten":                            {"limit", "invalid-parameter"},
		"correlation_id=1":                     {"correlation_id", "invalid-parameter"},
		"correlation_id=00000000-0000-0000-0000-000000000000":                       {"correlation_id", "invalid-parameter"},
		"occurred_at[gte]=yesterday":                                                {"occurred_at[gte]", "invalid-parameter"},
		"occurred_at[gte]=2024-01-15T10:41:00+02:00":                                {"occurred_at[gte]", "invalid-parameter"},
		"occurred_at[lt]=10000-01-01T00:00:00Z":                                     {"occurred_at[lt]", "invalid-parameter"},
		"occurred_at[lt]=0001-01-01T00:00:00Z":                                      {"occurred_at[lt]", "invalid-parameter"},
		"occurred_at[lt]=9999-12-31T23:59:59-10:00":                                 {"occurred_at[lt]", "invalid-parameter"},
		"occurred_at[gt]=2024-01-02T00:00:00Z&occurred_at[lt]=2024-01-01T00:00:00Z": {"occurred_at", "invalid-parameter"},
		"cursor=abc": {"cursor", "invalid-cursor"},
	} {
		p := s.refused(s.get("/v1/audit/records?"+query), http.StatusBadRequest, want.code)
		if assert.NotEmpty(t, p.Errors, query) {
			assert.Equal(t, want.parameter, p.Errors[0].Parameter, query)
			assert.NotEmpty(t, p.Errors[0].Detail)
		}
	}
	p := s.refused(s.get("/v1/audit/records?zzz=1&aaa=2&limit=0"), http.StatusBadRequest, "unknown-parameter")
	assert.Len(t, p.Errors, 2)
	assert.Contains(t, p.Detail, "there is no parameter aaa here; there are actor_id, ")
	assert.Equal(t, "there is no parameter cursor here; there is only limit", s.problem(s.get("/v1/audit/actions?cursor=x")).Detail)
	assert.Equal(t, "there is no parameter a here; there are none", s.problem(s.get("/v1/audit/records/x?a=1")).Detail)
	assert.Equal(t, "/v1/audit/docs#unknown-parameter", p.Type)
	assert.Equal(t, "/v1/audit/records", p.Instance)
	s.refused(s.get("/v1/audit/records?actor_id=%zz"), http.StatusBadRequest, "invalid-parameter")
	s.refused(s.get("/v1/audit/records?a;b"), http.StatusBadRequest, "invalid-parameter")
	assert.Empty(t, s.records("audit.records.read"), "what was refused was not read")
}

func TestOneRecord(t *testing.T) {
	t.Parallel()
	s := newService(t)
	mine, others := s.seed(t, "acme", 1)[0], s.seed(t, "globex", 1)[0]
	got := s.get("/v1/audit/records/" + mine.ID().String())
	require.Equal(t, http.StatusOK, got.Code)
	record := decode[map[string]any](t, got.Body.Bytes())
	assert.Equal(t, "user:u0", record["actor_id"])
	assert.Equal(t, "1", record["position"])
	assert.Equal(t, map[string]any{"type": "Document", "id": "d0", "version": "1"}, record["entity"])

	s.refused(s.get("/v1/audit/records/"+others.ID().String()), http.StatusNotFound, "not-found")
	s.refused(s.get("/v1/audit/records/"+id(99).String()), http.StatusNotFound, "not-found")
	for _, bad := range []string{"1", "00000000-0000-0000-0000-000000000000", "urn:uuid:" + mine.ID().String(), "%ff", "a%2Fb"} {
		p := s.refused(s.get("/v1/audit/records/"+bad), http.StatusBadRequest, "invalid-parameter")
		assert.Equal(t, "id", p.Errors[0].Parameter)
	}
	s.refused(s.get("/v1/audit/records/"+mine.ID().String()+"?a=1"), http.StatusBadRequest, "unknown-parameter")
	read := s.records("audit.record.read")
	require.Len(t, read, 3)
	assert.Equal(t, event.Metadata{"id": mine.ID().String(), "found": true, "auth_method": "test"}, read[0].Metadata())
	assert.Equal(t, false, read[1].Metadata()["found"])
}

func TestEntityIDsMayHoldAnyCharacters(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, entity := range []string{"a/b", "..", ".", "//", "a b", "%2F", "ü/ö", "?x=1#y", "a;b,c", "records", "{id}", "'; drop table x;--", "+", ":batch"} {
		_, err := s.log.Append(t.Context(), audit.Draft{TenantID: "acme", ActorID: "user:x", Action: "thing.done", Entity: audit.EntityRef{Type: "Thing/x", ID: entity}})
		require.NoError(t, err)
		got := s.page("/v1/audit/entities/" + url.PathEscape("Thing/x") + "/" + url.PathEscape(entity) + "/records")
		require.Len(t, got.Data, 1, entity)
		assert.Equal(t, entity, got.Data[0]["entity"].(map[string]any)["id"])
		assert.Len(t, s.page("/v1/audit/records?entity_type=Thing/x&entity_id="+url.QueryEscape(entity)).Data, 1)
	}
	for _, bad := range []string{"%00", "%ff", "a%0Ab", strings.Repeat("x", 257)} {
		p := s.refused(s.get("/v1/audit/entities/Document/"+bad+"/records"), http.StatusBadRequest, "invalid-parameter")
		assert.Equal(t, "id", p.Errors[0].Parameter)
	}
	p := s.refused(s.get("/v1/audit/entities/"+strings.Repeat("x", 129)+"/1/records"), http.StatusBadRequest, "invalid-parameter")
	assert.Equal(t, "type", p.Errors[0].Parameter)
	s.refused(s.get("/v1/audit/entities/Document/1/records?entity_id=2"), http.StatusBadRequest, "unknown-parameter")
	s.refused(s.get("/v1/audit/entities/Document//records"), http.StatusNotFound, "not-found")
	s.refused(s.get("/v1/audit/entities/Document/a/b/records"), http.StatusNotFound, "not-found")
}

func TestActorsFeed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 6)
	s.seed(t, "globex", 6)
	got := s.page("/v1/audit/actors/user:u1/activity")
	require.Len(t, got.Data, 2)
	assert.Equal(t, "5", got.Data[0]["position"])
	assert.Equal(t, "ActivityRecorded", got.Data[0]["event_type"])
	got = s.page("/v1/audit/actors/user:u1/activity?order=asc&limit=1")
	assert.True(t, got.HasMore)
	next := s.page("/v1/audit/actors/user:u1/activity?order=asc&limit=1&cursor=" + got.NextCursor)
	assert.Equal(t, []string{"5"}, next.positions())
	assert.Len(t, s.page("/v1/audit/actors/user:u1/activity?occurred_at[gt]=2024-01-15T10:31:00Z").Data, 1)
	p := s.refused(s.get("/v1/audit/actors/u1/activity"), http.StatusBadRequest, "invalid-parameter")
	assert.Equal(t, "id", p.Errors[0].Parameter)
	csv := s.get("/v1/audit/actors/user:u1/activity", accepting("text/csv"))
	assert.Equal(t, 3, strings.Count(csv.Body.String(), "\r\n"))
	assert.Equal(t, "audit.activity.exported", s.store.log.Records()[len(s.store.log.Records())-1].Action())
}

func TestTrace(t *testing.T) {
	t.Parallel()
	s := newService(t)
	chain := id(700)
	for i, cause := range []int{0, 1, 1, 2, 99} {
		d := draft("acme", i)
		d.ID, d.CorrelationID = id(i+1), chain
		if cause > 0 {
			d.CausationID = id(cause)
		}
		_, err := s.log.Append(t.Context(), d)
		require.NoError(t, err)
	}
	got := s.get("/v1/audit/traces/" + chain.String())
	require.Equal(t, http.StatusOK, got.Code)
	tree := decode[struct {
		Data []struct {
			Depth    int
			ParentID string `json:"parent_id"`
			Link     string
			Record   struct{ ID string }
		}
	}](t, got.Body.Bytes())
	require.Len(t, tree.Data, 5)
	var drawn []string
	for _, n := range tree.Data {
		drawn = append(drawn, strings.Repeat(".", n.Depth)+n.Record.ID[len(n.Record.ID)-1:]+" "+n.Link)
	}
	assert.Equal(t, []string{"1 caused", ".2 caused", "..4 caused", ".3 caused", "5 orphan"}, drawn)
	assert.Equal(t, id(2).String(), tree.Data[2].ParentID)

	text := s.get("/v1/audit/traces/"+chain.String(), accepting("text/plain"))
	assert.Contains(t, text.Body.String(), "├── ")
	s.refused(s.get("/v1/audit/traces/"+chain.String(), as("bob")), http.StatusNotFound, "not-found")
	s.refused(s.get("/v1/audit/traces/x"), http.StatusBadRequest, "invalid-parameter")
	s.refused(s.get("/v1/audit/traces/"+chain.String()+"?limit=1"), http.StatusBadRequest, "unknown-parameter")
}

func TestActions(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 2)
	_, err := s.log.Append(t.Context(), audit.Draft{TenantID: "globex", Action: "secret.plan", Entity: audit.EntityRef{Type: "Plan", ID: "1"}})
	require.NoError(t, err)
	s.page("/v1/audit/records")
	got := s.get("/v1/audit/actions")
	require.Equal(t, http.StatusOK, got.Code)
	actions := decode[page](t, got.Body.Bytes())
	require.Len(t, actions.Data, 2)
	assert.Equal(t, "audit.records.read", actions.Data[0]["action"])
	assert.Equal(t, "document.viewed", actions.Data[1]["action"])
	assert.True(t, decode[page](t, s.get("/v1/audit/actions?limit=1").Body.Bytes()).HasMore)
	s.refused(s.get("/v1/audit/actions?limit=1001"), http.StatusBadRequest, "invalid-parameter")
	s.refused(s.get("/v1/audit/actions?cursor=x"), http.StatusBadRequest, "unknown-parameter")
}

func TestNumbersOf64BitsAreText(t *testing.T) {
	t.Parallel()
	s := newService(t)
	_, err := s.log.Append(t.Context(), audit.Draft{
		TenantID: "acme", Action: "number.seen", Entity: audit.EntityRef{Type: "Number", ID: "1", Version: 1<<64 - 1},
		Metadata: event.Metadata{"small": 1<<53 - 1, "large": int64(1) << 53, "negative": -int64(1) << 60, "huge": uint64(1<<64 - 1), "f": 1.5},
	})
	require.NoError(t, err)
	record := s.page("/v1/audit/records").Data[0]
	assert.Equal(t, "18446744073709551615", record["entity"].(map[string]any)["version"])
	assert.Equal(t, map[string]any{
		"small": float64(1<<53 - 1), "large": "9007199254740992", "negative": "-1152921504606846976", "huge": "18446744073709551615", "f": 1.5,
	}, record["metadata"])
}
