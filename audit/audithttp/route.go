package audithttp

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evident-go/evident/auth"
)

// The formats of answers.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeCSV    = "text/csv"
	typeText   = "text/plain"
	typeHTML   = "text/html"
	typeYAML   = "application/yaml"
)

// route is one operation of the contract.
type route struct {
	method  string
	pattern string // below the prefix; {…} is one segment
	formats []string
	scope   auth.Permission
	action  string // as which reading it is recorded
	public  bool   // part of the contract
	serve   func(x *exchange) error
}

// routes returns every operation.
func routes() []route {
	all := []string{typeJSON, typeNDJSON, typeCSV}
	one := []string{typeJSON}
	return []route{
		{method: http.MethodGet, pattern: "", formats: one, public: true, serve: (*exchange).index},
		{method: http.MethodGet, pattern: "/docs", formats: []string{typeHTML}, public: true, serve: (*exchange).docs},
		{method: http.MethodGet, pattern: "/openapi.yaml", formats: []string{typeYAML}, public: true, serve: (*exchange).contractYAML},
		{method: http.MethodGet, pattern: "/openapi.json", formats: one, public: true, serve: (*exchange).contractJSON},
		{method: http.MethodGet, pattern: "/records", formats: all, scope: Read, action: "audit.records.read", serve: (*exchange).listRecords},
		{method: http.MethodPost, pattern: "/records", formats: one, scope: Write, serve: (*exchange).appendRecord},
		{method: http.MethodPost, pattern: "/records:batch", formats: one, scope: Write, serve: (*exchange).appendRecords},
		{method: http.MethodGet, pattern: "/records/{id}", formats: one, scope: Read, action: "audit.record.read", serve: (*exchange).getRecord},
		{method: http.MethodGet, pattern: "/entities/{type}/{id}/records", formats: all, scope: Read, action: "audit.records.read", serve: (*exchange).listEntityRecords},
		{method: http.MethodGet, pattern: "/actors/{id}/activity", formats: all, scope: Read, action: "audit.activity.read", serve: (*exchange).listActivity},
		{method: http.MethodGet, pattern: "/traces/{correlation}", formats: []string{typeJSON, typeText}, scope: Read, action: "audit.trace.read", serve: (*exchange).getTrace},
		{method: http.MethodGet, pattern: "/actions", formats: one, scope: Read, action: "audit.actions.read", serve: (*exchange).listActions},
	}
}

// exported is the action as which an export is recorded.
func (r *route) exported() string { return strings.TrimSuffix(r.action, "read") + "exported" }

// match returns the values of a pattern's segments. Each segment of path is
// taken out of its percent-encoding by itself, so that it may hold slashes.
func match(pattern, path string) (values map[string]string, ok bool) {
	names, segments := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(names) != len(segments) {
		return nil, false
	}
	values = make(map[string]string)
	for i, name := range names {
		segment, err := url.PathUnescape(segments[i])
		switch {
		case err != nil:
			return nil, false
		case strings.HasPrefix(name, "{") && segment != "":
			values[name[1:len(name)-1]] = segment
		case name != segment:
			return nil, false
		}
	}
	return values, true
}

// find returns the route of a request, or the methods that its path has; none
// if there is no such path.
func (h *Handler) find(r *http.Request) (found *route, values map[string]string, allow []string) {
	path, below := strings.CutPrefix(r.URL.EscapedPath(), h.config.Prefix)
	if !below {
		return nil, nil, nil
	}
	for i := range h.routes {
		route := &h.routes[i]
		given, ok := match(route.pattern, path)
		if !ok {
			continue
		}
		if route.method == r.Method || route.method == http.MethodGet && r.Method == http.MethodHead {
			found, values = route, given
		}
		allow = append(allow, route.method)
		if route.method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	if len(allow) > 0 {
		allow = append(allow, http.MethodOptions)
	}
	return found, values, slices.Compact(allow)
}
