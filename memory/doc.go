// Package memory keeps everything in the process's memory: events,
// checkpoints, dead letters, leases and snapshots. It is the reference that
// other stores are measured against, and the store for tests.
//
// What [Store] says is stored is stored until [Store.Close] or the end of the
// process; nothing survives either. It keeps every promise of
// [eventstore.Store] on those terms.
//
// Writers take one short lock. Readers of the whole log take none: what was
// appended never moves and never changes, so they read it where it lies.
package memory
