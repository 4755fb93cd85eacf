package audithttp_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
)

// canary is in everything of the other tenant, and in no request.
const canary = "s3cret-of-globex"

// Random requests made from the contract, valid and broken, never give a 5xx,
// a panic, another tenant's data or a status that is not documented.
// EVIDENT_SEED repeats a run.
func TestRandomRequests(t *testing.T) {
	t.Parallel()
	const requests, perService = 20_000, 1_000
	seed := rand.Uint64()
	if text := os.Getenv("EVIDENT_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed: EVIDENT_SEED=%d", seed)
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), spec: contract(t)}
	statuses := make(map[int]int)
	for n := range requests / perService {
		s := newService(t)
		g.pool(t, s)
		for i := range perService {
			statuses[g.attempt(t, s, i%25 == 0)]++
			if t.Failed() {
				t.Fatalf("request %d", n*perService+i)
			}
		}
	}
	t.Logf("statuses: %v", statuses)
	assert.Greater(t, statuses[200]+statuses[201], requests/10, "enough of them are valid")
	assert.Greater(t, statuses[400], requests/20, "enough of them are broken")
}

// generator makes requests.
type generator struct {
	*rand.Rand

	spec    *openapi3.T
	ids     []string
	cursors []string
}

// pool fills a service with records of two tenants that can be asked for.
func (g *generator) pool(t *testing.T, s *service) {
	t.Helper()
	g.ids, g.cursors = []string{event.NewID().String()}, nil
	for _, r := range s.seed(t, "acme", 20) {
		g.ids = append(g.ids, r.ID().String(), r.CorrelationID().String())
	}
	for i := range 20 {
		d := draft("globex", i)
		d.OwnerID, d.Description, d.Reason, d.Metadata = canary, canary, canary, event.Metadata{"k": canary}
		d.Action = "s3cret_of_globex.seen"
		d.CorrelationID = event.NewID()
		receipt, err := s.log.Append(t.Context(), d)
		require.NoError(t, err)
		g.ids = append(g.ids, receipt.Records[0].ID().String(), d.CorrelationID.String())
	}
}

// attempt makes one request and looks at its answer; with the whole contract
// if full, which takes its time.
func (g *generator) attempt(t *testing.T, s *service, full bool) int {
	t.Helper()
	c := g.call()
	got := func() answer {
		defer func() {
			if v := recover(); v != nil {
				t.Errorf("panic: %v\n%s", v, show(c))
			}
		}()
		if full {
			return s.send(c)
		}
		return s.raw(c)
	}()
	if got.ResponseRecorder == nil {
		return 0
	}
	assert.Less(t, got.Code, 500, "%s\n%s\n%v", show(c), short(got.Body), s.reports.all())
	body := got.Body.String()
	assert.NotContains(t, body, canary, show(c))
	assert.NotContains(t, body, "s3cret_of_globex", show(c))
	if route, _, err := s.router.FindRoute(c.request()); err == nil {
		documented := route.Operation.Responses.Status(got.Code)
		if assert.NotNil(t, documented, "%d is not documented\n%s", got.Code, show(c)) {
			assert.NotNil(t, documented.Value.Content.Get(got.Header().Get("Content-Type")), "%s\n%s", got.Header().Get("Content-Type"), show(c))
		}
	}
	if next, ok := strings.CutPrefix(body, `{"data":`); ok && got.Code == http.StatusOK {
		if _, cursor, found := strings.Cut(next, `"next_cursor":"`); found && len(g.cursors) < 50 {
			g.cursors = append(g.cursors, cursor[:strings.IndexByte(cursor, '"')])
		}
	}
	return got.Code
}

func show(c call) string {
	return fmt.Sprintf("%s %q as %q, %v, body %.500q", c.method, c.target, c.token, c.header, c.body)
}

func (g *generator) call() call {
	paths := g.spec.Paths.InMatchingOrder()
	path := paths[g.IntN(len(paths))]
	operations := g.spec.Paths.Value(path).Operations()
	methods := make([]string, 0, len(operations))
	for method := range operations {
		methods = append(methods, method)
	}
	slices.Sort(methods)
	method := methods[g.IntN(len(methods))]
	operation := operations[method]
	c := call{method: method, header: http.Header{}, token: g.oneOf("alice", "alice", "alice", "alice", "carol", "reader", "writer", "poor", "stray", "", "nobody\x00")}
	var query []string
	for _, ref := range operation.Parameters {
		p := ref.Value
		switch p.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(g.value(p.Name, p.Schema.Value)))
		case "query":
			for g.rare(5) {
				query = append(query, url.QueryEscape(p.Name)+"="+url.QueryEscape(g.value(p.Name, p.Schema.Value)))
			}
		case "header":
			if g.rare(3) {
				c.header.Set(p.Name, g.value(p.Name, p.Schema.Value))
			}
		}
	}
	if g.rare(25) {
		query = append(query, g.oneOf("nope=1", "%zz", ";", "=", "&&", "tenant_id=globex", "actor_id[]=x", "occurred_at[gte]=", "limit=-1", "cursor"))
	}
	c.target = path
	if len(query) > 0 {
		c.target += "?" + strings.Join(query, "&")
	}
	if operation.RequestBody != nil {
		c.body = g.body(operation.RequestBody.Value.Content.Get("application/json").Schema.Value)
		c.header.Set("Content-Type", g.mostly("application/json"))
	}
	if g.rare(3) {
		c.header.Set("Accept", g.oneOf("application/json", "*/*", "text/csv", "application/x-ndjson", "text/plain", "image/png", "text/*;q=0.1, application/json;q=0", "", ";;;", "a/b;q=x"))
	}
	if g.rare(20) {
		c.method = g.oneOf("PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "POST", "GET", "TRACE", "X")
	}
	if g.rare(20) {
		c.header.Set(g.oneOf("X-Request-Id", "Traceparent", "User-Agent", "Origin", "X-Actor-Id", "Content-Encoding", "If-Match", "Range"), g.nasty())
	}
	return c
}

// rare is true once in n times.
func (g *generator) rare(n int) bool { return g.IntN(n) == 0 }

func (g *generator) oneOf(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *generator) mostly(value string) string {
	if g.rare(15) {
		return g.nasty()
	}
	return value
}

// value is one that a schema allows, mostly.
func (g *generator) value(name string, schema *openapi3.Schema) string {
	switch {
	case g.rare(15):
		return g.nasty()
	case len(schema.Enum) > 0:
		return fmt.Sprint(schema.Enum[g.IntN(len(schema.Enum))])
	case schema.Type.Is("integer"):
		return strconv.Itoa(int(*schema.Min) + g.IntN(int(*schema.Max-*schema.Min)+1))
	case schema.Format == "date-time":
		return start.Add(time.Duration(g.IntN(4000)-1000) * time.Second).Format(g.oneOf(time.RFC3339, time.RFC3339Nano))
	case strings.HasPrefix(schema.Pattern, "^[0-9a-fA-F]{8}"):
		return g.oneOf(g.ids...)
	case strings.HasPrefix(schema.Pattern, "^(anonymous"):
		return g.oneOf("anonymous", "user:u0", "user:u1", "user:alice", "service:a/b", "user:ü")
	case strings.HasPrefix(schema.Pattern, "^[a-z]"):
		return g.oneOf("document.viewed", "audit.records.read", "a", "a_1.b.c.d.e")
	case schema.Pattern == "^[0-9]{1,20}$":
		return g.oneOf("0", "1", "18446744073709551615")
	case name == "cursor" && len(g.cursors) > 0:
		return g.oneOf(g.cursors...)
	default:
		return g.oneOf("Document", "d1", "d2", "owner1", "a/b", "..", "ActivityRecorded", "ü", " ")
	}
}

func (g *generator) nasty() string {
	return g.oneOf(
		"", " ", "\x00", "\xff\xfe", "a\nb", "\x1b[2J", strings.Repeat("x", 300), strings.Repeat("y", 5000), "../../etc/passwd", "' OR 1=1 --", "%00", "%2e%2e",
		"=cmd|' /C calc'!A0", "9223372036854775808", "-1", "1e9", "NaN", "null", "true", "{}", "[]", "\u202egnp", "𝕏", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
		"10000-01-01T00:00:00Z", "00000000-0000-0000-0000-000000000000", "user:", ":", "user:root", "*", ">", strings.Repeat("A", 88), strings.Repeat("a.", 200),
	)
}

// body is JSON that a schema allows, mostly.
func (g *generator) body(schema *openapi3.Schema) string {
	data, err := json.Marshal(g.document("", schema, 0))
	if err != nil {
		return "" // cannot be
	}
	text := string(data)
	if g.rare(10) {
		at := g.IntN(len(text))
		switch g.IntN(5) {
		case 0:
			text = text[:at]
		case 1:
			text = text[:at] + string(rune(g.IntN(256))) + text[at:]
		case 2:
			text = text[:at] + "\xff" + text[at+1:]
		case 3:
			text += text
		default:
			text = strings.Replace(text, ":", `:[`+strings.Repeat("[", g.IntN(200)), 1)
		}
	}
	return text
}

func (g *generator) document(name string, schema *openapi3.Schema, depth int) any {
	if g.rare(60) {
		return []any{nil, true, 1.5, "x", []any{}, map[string]any{}, map[string]any{"a": map[string]any{}}, -1, 1e300}[g.IntN(9)]
	}
	switch {
	case name == "metadata":
		m := map[string]any{}
		for range g.IntN(4) {
			m[g.mostly("key"+strconv.Itoa(g.IntN(60)))] = []any{"v", 1, 1.5, true, nil, g.mostly("w"), json.Number("18446744073709551615")}[g.IntN(7)]
		}
		return m
	case schema.Type.Is("object"):
		m := map[string]any{}
		for field, inner := range schema.Properties {
			if slices.Contains(schema.Required, field) != g.rare(30) || g.rare(6) {
				m[field] = g.document(field, inner.Value, depth+1)
			}
		}
		if g.rare(40) {
			m[g.oneOf("actor_id", "tenant_id", "id", "nope", "recorded_at", "", "a/b", "\x00")] = g.nasty()
		}
		return m
	case schema.Type.Is("array"):
		items := make([]any, 1+g.IntN(3))
		for i := range items {
			items[i] = g.document("", schema.Items.Value, depth+1)
		}
		if g.rare(100) {
			items = slices.Repeat(items, 300)
		}
		return items
	default:
		return g.value(name, schema)
	}
}
