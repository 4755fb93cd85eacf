// Package projectionhttp answers the probes of whoever runs a service, such as
// Kubernetes, with how its projections are.
//
//	health, err := projectionhttp.New(projectionhttp.Config{Status: runner})
//	…
//	mux.Handle("GET /livez", health.Live())
//	mux.Handle("GET /readyz", health.Ready())
//	mux.Handle("GET /admin/projections", authenticated(health.Status()))
//
// GET /livez asks whether the loops go round. 503 says that one is dead, and that
// it can help to start the process anew. A store that is down is no reason to:
// liveness is told from memory.
//
// GET /readyz asks whether the read models are as fresh as [projection.Health]
// says. 503 says that readers should be sent elsewhere, or that the store does
// not say within [Config.Timeout] where projections stand. Degraded projections,
// which have parked letters, say, are ready.
//
// Status is for people: all that is known, with the texts of errors, for which
// reason it has no path by default, and belongs behind authentication.
//
// Answers are plain text, or JSON for those who prefer it (Accept). They are not
// to be cached by others (Cache-Control: no-store). The handler itself asks the
// store at most once in [Config.Keep], however many probes there are.
package projectionhttp
