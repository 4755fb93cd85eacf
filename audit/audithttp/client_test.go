package audithttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/audithttp"
)

// client makes requests of a handler. Each request and each answer passes
// through the contract, whatever the test is about.
type client struct {
	t       testing.TB
	handler http.Handler
	spec    *openapi3.T
	router  routers.Router
	ledger  *ledger
}

func newClient(tb testing.TB, handler *audithttp.Handler) *client {
	tb.Helper()
	registerDecoders()
	spec, err := openapi3.NewLoader().LoadFromData(handler.Contract())
	require.NoError(tb, err)
	router, err := gorillamux.NewRouter(spec)
	require.NoError(tb, err)
	return &client{t: tb, handler: handler, spec: spec, router: router, ledger: newLedger()}
}

// registerDecoders teaches the validator the formats that it does not know.
var registerDecoders = sync.OnceFunc(func() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", decodeLines)
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/csv", openapi3filter.PlainBodyDecoder)
})

func decodeLines(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	lines := []any{}
	for decoder := json.NewDecoder(body); decoder.More(); {
		var line any
		if err := decoder.Decode(&line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// answer is what came back.
type answer struct {
	*httptest.ResponseRecorder

	operation string // "" if there is none
}

// call is a request to be.
type call struct {
	method, target, token, body string
	header                      http.Header
}

type option func(*call)

func as(token string) option       { return func(c *call) { c.token = token } }
func accepting(kind string) option { return with("Accept", kind) }

func with(name string, values ...string) option {
	return func(c *call) { c.header[http.CanonicalHeaderKey(name)] = values }
}

func (c *client) get(target string, options ...option) answer {
	c.t.Helper()
	return c.do(http.MethodGet, target, "", options...)
}

func (c *client) post(target, body string, options ...option) answer {
	c.t.Helper()
	return c.do(http.MethodPost, target, body, append([]option{with("Content-Type", "application/json")}, options...)...)
}

// do makes a request as alice, unless an option says otherwise.
func (c *client) do(method, target, body string, options ...option) answer {
	c.t.Helper()
	call := call{method: method, target: target, token: "alice", body: body, header: http.Header{}}
	for _, option := range options {
		option(&call)
	}
	return c.send(call)
}

func (call call) request() *http.Request {
	r := httptest.NewRequest(call.method, "/", strings.NewReader(call.body))
	if target, err := url.ParseRequestURI(call.target); err == nil {
		r.URL = target
	}
	r.RequestURI = call.target
	if call.body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header = call.header.Clone()
	if call.token != "" {
		r.Header.Set("Authorization", "Bearer "+call.token)
	}
	return r
}

// send makes a request. A request that the contract does not allow must be
// refused; an answer that it does not know is an error.
func (c *client) send(call call) answer {
	c.t.Helper()
	got := c.raw(call)
	got.operation = c.check(call, got)
	c.ledger.add(got.operation, got.Code)
	return got
}

// raw makes a request past the contract.
func (c *client) raw(call call) answer {
	got := answer{ResponseRecorder: httptest.NewRecorder()}
	c.handler.ServeHTTP(got, call.request())
	return got
}

func (c *client) check(call call, got answer) (operation string) {
	c.t.Helper()
	for _, header := range []string{"X-Request-Id", "Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options"} {
		assert.NotEmpty(c.t, got.Header().Get(header), "%s of %s %s", header, call.method, call.target)
	}
	assert.Equal(c.t, "no-store", got.Header().Get("Cache-Control"))
	asked := call
	if call.method == http.MethodHead {
		asked.method = http.MethodGet
	}
	route, params, err := c.router.FindRoute(asked.request())
	if err != nil {
		c.checkNoOperation(call, got)
		return ""
	}
	input := &openapi3filter.RequestValidationInput{
		Request: asked.request(), PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil && got.Code < 400 {
		assert.Fail(c.t, "a request that the contract does not allow was answered", "%s %s: %d\n%v", call.method, call.target, got.Code, err)
	}
	if call.method == http.MethodHead {
		assert.Empty(c.t, got.Body.Bytes())
		return ""
	}
	response := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.Code, Header: got.Header(), Body: io.NopCloser(bytes.NewReader(got.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	assert.NoError(c.t, openapi3filter.ValidateResponse(context.Background(), response), "%s %s: %d\n%s", call.method, call.target, got.Code, short(got.Body))
	return route.Operation.OperationID
}

func short(body *bytes.Buffer) string { return fmt.Sprintf("%.2000s", body) }

// checkNoOperation: what is outside of the contract is a 204 of OPTIONS or a problem.
func (c *client) checkNoOperation(call call, got answer) {
	c.t.Helper()
	if call.method == http.MethodOptions && got.Code == http.StatusNoContent {
		assert.NotEmpty(c.t, got.Header().Get("Allow"))
		return
	}
	assert.Equal(c.t, "application/problem+json", got.Header().Get("Content-Type"), "%s %s", call.method, call.target)
	if call.method != http.MethodHead {
		value := decode[any](c.t, got.Body.Bytes())
		require.NoError(c.t, c.spec.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()))
	}
	assert.Contains(c.t, []int{400, 404, 405, 414, 431}, got.Code, "%s %s", call.method, call.target)
	if got.Code == http.StatusMethodNotAllowed {
		assert.NotEmpty(c.t, got.Header().Get("Allow"))
	}
}

// problem returns the problem that an answer is.
func (c *client) problem(got answer) problem {
	c.t.Helper()
	assert.Equal(c.t, "application/problem+json", got.Header().Get("Content-Type"))
	p := decode[problem](c.t, got.Body.Bytes())
	assert.Equal(c.t, got.Code, p.Status)
	assert.Equal(c.t, got.Header().Get("X-Request-Id"), p.RequestID)
	return p
}

// refused checks that an answer is a problem of a status and a code.
func (c *client) refused(got answer, status int, code string) problem {
	c.t.Helper()
	require.Equal(c.t, status, got.Code, "%s", short(got.Body))
	p := c.problem(got)
	assert.Equal(c.t, code, p.Code, "%+v", p)
	return p
}

func (c *client) page(target string, options ...option) page {
	c.t.Helper()
	got := c.get(target, options...)
	require.Equal(c.t, http.StatusOK, got.Code, "%s", short(got.Body))
	return decode[page](c.t, got.Body.Bytes())
}

// ledger remembers which operation gave which status.
type ledger struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newLedger() *ledger { return &ledger{seen: make(map[string]bool)} }

func (l *ledger) add(operation string, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[entry(operation, status)] = true
}

func entry(operation string, status int) string { return fmt.Sprintf("%s %d", operation, status) }
