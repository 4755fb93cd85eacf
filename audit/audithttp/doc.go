// Package audithttp serves an audit log over HTTP: records are listed, polled,
// exported, looked up, traced and added. A [Handler] can be mounted in any mux:
//
//	handler, err := audithttp.New(audithttp.Config{
//		Log:          log,
//		Activity:     activity.ActivityReader,
//		Authenticate: middleware.Principal,
//		Recorder:     recorder,
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
//
// A principal without a permission is recorded by [Config.Recorder], as
// everywhere in this module: all denials in a log are [auth.ActionDenied],
// whatever was asked for, and a flood of them is counted. A denial that cannot
// be recorded is 503. Clients cannot add actions of the families "auth." and
// "audit.": what the log says of refusals and of reading is the server's word.
package audithttp
