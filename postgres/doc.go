// Package postgres keeps everything in a PostgreSQL database, in a schema of
// its own: events, checkpoints, dead letters, leases, snapshots, the audit log
// and user activity.
//
// [Migrate] creates the tables, [Open] opens a [Store]. Appends take one round
// trip; those that come at the same time share one. Nobody waits for a lock of
// all writers, and yet no reader ever skips an event: see [Store.Head].
//
// Handlers of a [Projection] get the transaction that also moves the
// checkpoint, so each event takes effect exactly once. [Store.Atomically] and
// [Store.Within] append in a transaction with tables of the caller's own.
//
// PostgreSQL 14 and newer. With a pooler in transaction mode, such as
// PgBouncer, put default_query_exec_mode=cache_describe into the URL.
package postgres
