// Package projection runs projections: code that turns the one log of events
// into read models, feeds and messages, and can be thrown away and rebuilt by
// replay.
//
// [New] puts a projection together from typed handlers. Its target is whatever
// they write to, and takes effect at least once. An adapter's NewProjection,
// such as sqlite.NewProjection, hands its handlers the transaction that also
// moves the checkpoint: exactly once.
//
// A [Runner] feeds projections. It reads on from the last position, whether
// that is far behind or at the head, applies events in batches, and saves how
// far it has come. When an event cannot be applied, the reason decides: a store
// or a network that is down pauses the projection until it is back; an event
// that is itself at fault parks, with all later ones of its aggregate,
// while every other aggregate goes on. Parked events are tried again in order,
// by themselves and by [Runner.Redrive].
//
// A projection runs in one process at a time, under a lease whose fence each
// commit proves; others wait to take over. [Runner.Status] says where
// projections stand, [Runner.WaitFor] waits until a read model shows a write,
// and [Runner.Rebuild] builds one anew.
//
// Package projectiontest drives projections in tests, and holds the runner to
// its promises on a store.
package projection
