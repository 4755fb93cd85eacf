package audithttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/internal/golden"
)

// The JSON form of the contract is made from the YAML form, by this test with
// EVIDENT_UPDATE_GOLDEN=1.
func TestContractIsTheSameAsYAMLAndJSON(t *testing.T) {
	t.Parallel()
	written, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	var document any
	require.NoError(t, yaml.Unmarshal(written, &document))
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(document))
	golden.Compare(t, out.Bytes(), "openapi.json")
}

func contract(tb testing.TB) *openapi3.T {
	tb.Helper()
	document, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	require.NoError(tb, err)
	return document
}

func TestContractIsValid(t *testing.T) {
	t.Parallel()
	document := contract(t)
	require.NoError(t, document.Validate(t.Context()))
	require.True(t, document.IsOpenAPI31OrLater())
}

func TestEveryRouteIsOneOperationAndTheReverse(t *testing.T) {
	t.Parallel()
	document := contract(t)
	var operations, served []string
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			operations = append(operations, method+" "+path)
		}
	}
	for _, route := range audithttp.Routes() {
		served = append(served, route.Method+" "+route.Path)
		operation := document.Paths.Value(route.Path).GetOperation(route.Method)
		if !assert.NotNil(t, operation, route.Path) {
			continue
		}
		var formats []string
		for _, status := range []string{"200", "201"} {
			if response := operation.Responses.Value(status); response != nil {
				formats = append(formats, slices.Sorted(maps.Keys(response.Value.Content))...)
			}
		}
		assert.ElementsMatch(t, route.Formats, formats, route.Path)
		assert.Equal(t, route.Public, len(*operation.Security) == 0, "%s is served without a principal if the contract says so", route.Path)
		if !route.Public {
			assert.Equal(t, []string{string(route.Scope)}, (*operation.Security)[0]["bearer"], route.Path)
		}
	}
	assert.ElementsMatch(t, operations, served)
}

func TestCodesAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	var documented []string
	for _, value := range contract(t).Components.Schemas["Code"].Value.Enum {
		documented = append(documented, value.(string))
	}
	assert.Equal(t, slices.Sorted(maps.Keys(audithttp.Codes())), documented)
	page, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	for code := range audithttp.Codes() {
		assert.Contains(t, string(page), code)
	}
}

// scene makes a service and the call that gets a status from an operation.
type scene func(t *testing.T, operation string) (*service, call)

// examples are calls that are answered, by operation.
func example(operation string) call {
	c := call{method: http.MethodGet, token: "alice", header: http.Header{}}
	switch operation {
	case "getIndex":
		c.target = "/v1/audit"
	case "getDocs":
		c.target = "/v1/audit/docs"
	case "getContractYAML":
		c.target = "/v1/audit/openapi.yaml"
	case "getContractJSON":
		c.target = "/v1/audit/openapi.json"
	case "listRecords":
		c.target = "/v1/audit/records"
	case "getRecord":
		c.target = "/v1/audit/records/" + id(1).String()
	case "listEntityRecords":
		c.target = "/v1/audit/entities/Document/d1/records"
	case "listActorActivity":
		c.target = "/v1/audit/actors/user:u1/activity"
	case "getTrace":
		c.target = "/v1/audit/traces/" + id(7).String()
	case "listActions":
		c.target = "/v1/audit/actions"
	case "appendRecord":
		c.method, c.target, c.body = http.MethodPost, "/v1/audit/records", newRecord
	case "appendRecords":
		c.method, c.target, c.body = http.MethodPost, "/v1/audit/records:batch", `{"records":[`+newRecord+`,`+newRecord+`]}`
	}
	if c.method == http.MethodPost {
		c.header.Set("Content-Type", "application/json")
	}
	return c
}

const newRecord = `{"action":"document.exported","entity":{"type":"Document","id":"4711"},"metadata":{"pages":3}}`

// stocked is a service with the record and the trace of the examples.
func stocked(t *testing.T, settings ...setting) *service {
	t.Helper()
	s := newService(t, settings...)
	d := draft("acme", 1)
	d.ID, d.CorrelationID = id(1), id(7)
	_, err := s.log.Append(t.Context(), d)
	require.NoError(t, err)
	return s
}

func usual(change func(*call)) scene {
	return func(t *testing.T, operation string) (*service, call) {
		t.Helper()
		c := example(operation)
		change(&c)
		return stocked(t), c
	}
}

func unusual(settings ...setting) scene {
	return func(t *testing.T, operation string) (*service, call) {
		t.Helper()
		protect := configured(func(c *audithttp.Config) { c.ProtectDocs = true })
		return stocked(t, append(settings, protect)...), example(operation)
	}
}

// scenes gives a way to each status, whatever the operation.
func scenes() map[int]scene {
	protected := func(token string) scene {
		return func(t *testing.T, operation string) (*service, call) {
			t.Helper()
			s, c := unusual()(t, operation)
			c.token = token
			return s, c
		}
	}
	return map[int]scene{
		http.StatusOK:           usual(func(*call) {}),
		http.StatusCreated:      usual(func(*call) {}),
		http.StatusBadRequest:   usual(func(c *call) { c.target += "?nope=1" }),
		http.StatusUnauthorized: protected("mallory"),
		http.StatusForbidden:    protected("poor"),
		http.StatusNotFound: usual(func(c *call) {
			c.target = strings.NewReplacer(id(1).String(), id(404).String(), id(7).String(), id(404).String()).Replace(c.target)
		}),
		http.StatusNotAcceptable: usual(func(c *call) { c.header.Set("Accept", "image/png") }),
		http.StatusConflict: func(t *testing.T, operation string) (*service, call) {
			t.Helper()
			s, c := stocked(t), example(operation)
			c.header.Set("Idempotency-Key", "k")
			require.Equal(t, http.StatusCreated, s.send(c).Code)
			c.body = strings.ReplaceAll(c.body, "4711", "4712")
			return s, c
		},
		http.StatusRequestEntityTooLarge: usual(func(c *call) { c.body += strings.Repeat(" ", 1<<20) }),
		http.StatusRequestURITooLong:     usual(func(c *call) { c.target += "?x=" + strings.Repeat("x", 9000) }),
		http.StatusUnsupportedMediaType:  usual(func(c *call) { c.header.Set("Content-Type", "text/plain") }),
		http.StatusUnprocessableEntity: func(t *testing.T, operation string) (*service, call) {
			t.Helper()
			if operation == "getTrace" {
				s := newService(t)
				fillTrace(t, s, audit.MaxTraceRecords+1)
				return s, example(operation)
			}
			return newService(t, hooked(vetoing)), example(operation)
		},
		http.StatusTooManyRequests: unusual(configured(func(c *audithttp.Config) {
			c.RateLimit = func(*http.Request, auth.Principal) (time.Duration, bool) { return 1500 * time.Millisecond, false }
		})),
		http.StatusRequestHeaderFieldsTooLarge: usual(func(c *call) {
			for i := range 101 {
				c.header.Set(fmt.Sprintf("X-%d", i), "x")
			}
		}),
		http.StatusInternalServerError: unusual(configured(func(c *audithttp.Config) {
			c.Authenticate = func(*http.Request) (auth.Principal, error) { panic("secret") }
		})),
		http.StatusServiceUnavailable: unusual(configured(func(c *audithttp.Config) {
			c.Authenticate = func(*http.Request) (auth.Principal, error) { return auth.Principal{}, auth.ErrUnavailable }
		})),
	}
}

func TestEveryDocumentedStatusIsGiven(t *testing.T) {
	t.Parallel()
	ways, seen := scenes(), newLedger()
	var documented []string
	for _, item := range contract(t).Paths.Map() {
		for _, operation := range item.Operations() {
			for text := range operation.Responses.Map() {
				status, err := strconv.Atoi(text)
				require.NoError(t, err)
				documented = append(documented, entry(operation.OperationID, status))
				way, known := ways[status]
				require.True(t, known, "no way to %d", status)
				s, call := way(t, operation.OperationID)
				got := s.send(call)
				assert.Equal(t, status, got.Code, "%s: %s", operation.OperationID, short(got.Body))
				seen.add(got.operation, got.Code)
			}
		}
	}
	assert.ElementsMatch(t, documented, slices.Collect(maps.Keys(seen.seen)))
}

func vetoing(_ context.Context, d *audit.Draft) error {
	if d.Action == "document.exported" {
		return errors.New("not on Sundays")
	}
	return nil
}

func fillTrace(t *testing.T, s *service, n int) {
	t.Helper()
	for n > 0 {
		drafts := make([]audit.Draft, min(n, audit.MaxAppend))
		for i := range drafts {
			drafts[i] = audit.Draft{TenantID: "acme", ActorID: "user:u1", Action: "a.b", Entity: audit.EntityRef{Type: "D", ID: "d"}, CorrelationID: id(7)}
		}
		_, err := s.log.Append(t.Context(), drafts...)
		require.NoError(t, err)
		n -= len(drafts)
	}
}

func TestContractFollowsThePrefix(t *testing.T) {
	t.Parallel()
	s := newService(t, configured(func(c *audithttp.Config) { c.Prefix = "/internal/audit" }))
	s.seed(t, "acme", 2)
	assert.Len(t, s.page("/internal/audit/records").Data, 2)
	assert.Equal(t, "/internal/audit/docs#not-found", s.problem(s.get("/internal/audit/nothing")).Type)
	assert.Contains(t, s.get("/internal/audit/docs").Body.String(), "/internal/audit/records")
	assert.NotContains(t, s.get("/internal/audit/openapi.yaml").Body.String(), "/v1/audit")
	index := decode[map[string]string](t, s.get("/internal/audit").Body.Bytes())
	assert.Equal(t, "/internal/audit/records", index["records"])
	s.refused(s.get("/v1/audit/records"), http.StatusNotFound, "not-found")
}

func TestTheContractCanBeProtected(t *testing.T) {
	t.Parallel()
	open, closed := newService(t), newService(t, configured(func(c *audithttp.Config) { c.ProtectDocs = true }))
	for _, path := range []string{"", "/docs", "/openapi.yaml", "/openapi.json"} {
		assert.Equal(t, http.StatusOK, open.get("/v1/audit"+path, as("")).Code)
		closed.refused(closed.get("/v1/audit"+path, as("")), http.StatusUnauthorized, "unauthenticated")
		closed.refused(closed.get("/v1/audit"+path, as("writer")), http.StatusForbidden, "insufficient-scope")
		assert.Equal(t, http.StatusOK, closed.get("/v1/audit"+path, as("reader"), accepting("text/html")).Code)
	}
}
