// Package httpauth lets HTTP requests in: it verifies their credentials, puts
// who acts into the context, and answers those who may not come in.
//
//	middleware, err := httpauth.New(httpauth.Config{
//		Bearer:   tokens, // a *jwtauth.Authenticator
//		Recorder: recorder,
//	})
//	…
//	mux.Handle("POST /tasks", httpauth.RequirePermission("task:create")(createTask))
//	server := &http.Server{Handler: middleware.Handler(mux)}
//
// Every event that is emitted with the request's context carries the actor and
// the tenant of the credential, and in its metadata the request's id, trace,
// address and user agent. [Logger] writes the same into logs.
package httpauth
