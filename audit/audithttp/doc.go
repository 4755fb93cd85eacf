// Package audithttp serves an audit log over HTTP: records are listed, polled,
// exported, looked up, traced and added. A [Handler] can be mounted in any mux:
//
//	handler, err := audithttp.New(audithttp.Config{
//		Log:          log,
//		Activity:     activity.ActivityReader,
//		Authenticate: middleware.Principal,
//		CursorKeys:   [][]byte{key},
//	})
//	mux.Handle("/v1/audit", handler)
//	mux.Handle("/v1/audit/", handler)
//
// The contract is openapi.yaml, which the handler serves beside a page for
// people, [Handler.Contract] in Go. Every request and answer of the tests goes
// through it.
//
// It fails closed. Nothing but the contract is served without a principal, and
// actor and tenant are the principal's, whatever a request says. Reading is
// recorded before the answer goes out; what cannot be recorded is not read.
package audithttp
