// Package privacy is what a log that never forgets owes to the people in it.
//
//   - [Export] writes everything that the log says of a person, for the answer
//     to a request of access, as NDJSON. Other people are masked. [ReadExport]
//     reads it back, and tells a whole file from one that was cut.
//   - [Pseudonyms] keep the names of people apart from the log: the log has
//     random tokens, a table beside it says whose they are, and a row of that
//     table can be cut. [RequireOpaque] and [Lint] keep names out of the log.
//   - [Holds] keep what a court or an inquiry needs. A hold wins over a cut and
//     over every retention rule.
//   - A [Policy] says how long what is kept, and what is done then. [Officer.Plan]
//     says what [Officer.Run] would do.
//
// The [Officer] does what touches several of these, and records each step in the
// log: no export, hold, release or cut goes unrecorded.
//
// # What it does not do
//
// Events are never deleted and never changed, by nobody and after no time. What
// stands in an event's payload, metadata or ids stays there. A cut takes away
// the one place that says whose token it is; it does not reach copies of that
// place, such as backups, and it does not reach names that were written into
// events. So keep them out: opaque ids, and no names in payloads that outlive
// their purpose. To erase payloads they would have to be encrypted under a key
// for each person, which can be destroyed; that is not built yet.
//
// None of this is legal advice.
package privacy
