// Package evident is event sourcing whose history is evidence.
//
// Aggregates emit versioned events, which say who did what, when and why. The
// events go, atomically and with an expected version, into an event store.
// Everything else is derived from that one log by projections, and can be
// thrown away and rebuilt by replay.
//
// This package is empty; these are the rooms of the house, from the ground up:
//
//   - [github.com/evident-go/evident/event]: the envelope, payloads, actors, upcasts
//   - [github.com/evident-go/evident/eventstore]: the contract of every event store
//   - [github.com/evident-go/evident/aggregate]: aggregates and their repository
//   - [github.com/evident-go/evident/projection]: projections and their runner
//   - [github.com/evident-go/evident/audit]: who did what, derived from the events
//   - [github.com/evident-go/evident/memory], [github.com/evident-go/evident/sqlite]: stores
//
// The README has a program to start from, and docs a page for each question.
package evident
