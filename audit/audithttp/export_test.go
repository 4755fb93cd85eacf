package audithttp

import (
	"net/http"
	"time"

	"github.com/evident-go/evident/auth"
)

// Route is one operation, for tests.
type Route struct {
	Method, Path string
	Formats      []string
	Scope        auth.Permission
	Public       bool
}

// Routes returns every operation that the handler serves.
func Routes() []Route {
	var all []Route
	for _, r := range routes() {
		all = append(all, Route{r.method, "/v1/audit" + r.pattern, r.formats, r.scope, r.public})
	}
	return all
}

// Codes returns every code with its status.
func Codes() map[string]int {
	all := make(map[string]int)
	for _, m := range meanings() {
		all[string(m.Name)] = m.Status
	}
	return all
}

// PerPrincipalAt is PerPrincipal with a clock.
func PerPrincipalAt(perSecond float64, burst int, now func() time.Time) (func(r *http.Request, p auth.Principal) (time.Duration, bool), error) {
	return perPrincipal(perSecond, burst, now)
}
