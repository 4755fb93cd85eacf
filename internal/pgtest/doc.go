// Package pgtest gives tests, benchmarks and examples a PostgreSQL server.
//
// A test that needs a database asks for one and has it to itself:
//
//	conn, err := pgx.Connect(t.Context(), pgtest.URL(t))
//
// All databases of a test binary are on one server, which [URL] starts when it
// is first called; no TestMain is needed. If the environment names a server in
// EVIDENT_POSTGRES_URL, they are made there instead. Databases are separate,
// roles are not: a test that makes a role gives it a name of its own.
//
// A test that crashes its server takes a [Private] one. Programs that are not
// tests call [Start].
//
// Servers listen on 127.0.0.1 only, let everybody in who can reach them, and
// keep nothing: a server and its folder are gone soon after the process that
// started it has ended, even by SIGKILL. They run the programs that are
// installed; nothing is downloaded. PostgreSQL refuses to run as root, so for
// root they run as the user postgres, or nobody if there is none.
package pgtest
