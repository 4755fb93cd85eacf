// Package aggregate holds the write side: aggregates that decide, emit events
// and are rebuilt from them, and the repository that loads and saves them.
//
// A [Definition] says how an aggregate's state evolves: one function for each
// event. A struct that embeds [AggregateRoot] adds the decisions, as ordinary
// methods that look at the state and call [AggregateRoot.Emit]. A
// [Repository] loads aggregates by replaying their events and saves what they
// emitted, expecting the version that it loaded, so that two writers can never
// both decide on the same past.
//
// Whoever prefers pure functions writes a [Decider]: a function from state and
// command to events. It runs on the same repository.
//
// What is done as the reaction to an event ([event.Reaction]) may be tried
// several times and is saved once.
//
// Snapshots and the cache are shortcuts to the same state. They are optional,
// never trusted further than the store confirms, and may be lost at any time.
package aggregate
