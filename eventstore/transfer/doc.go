// Package transfer moves a history from one event store to another: from SQLite
// to PostgreSQL, from PostgreSQL to JetStream, or back.
//
//	report, err := transfer.Copy(ctx, source, target, transfer.Config{})
//
// [Copy] stores every event of the source in the target, in the same order, with
// its id, its version, both of its times, its metadata and the bytes of its
// payload. Each is read back from the target and compared. Only positions may
// differ: they are the target's own.
//
// What was copied is known from the target alone: it holds a beginning of the
// source. So a Copy that was interrupted, at whatever point, is called again,
// and a target that holds anything else is refused with a [*DifferenceError]. A
// source that is still written to is followed until [Config.Stop] says that it
// is not any more; then the target is complete within moments.
//
// [Verify] compares two stores and changes neither. [DigestOf] counts and hashes
// the events of one store, for when the other is out of reach.
//
// Events are what is copied. Read models, the audit log and snapshots are
// derived from them, and are built anew beside the target.
package transfer
