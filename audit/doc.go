// Package audit answers who did what to which thing, when, why and on whose
// behalf, from the one log of events.
//
// [FromEvent] turns an event into an [ActivityRecord]. Two projections do that
// for all events, and can be thrown away and rebuilt by replay at any time: the
// audit log, and the feeds of actors. Where they are kept is a home's business
// ([LogHome], [ActivityHome]); stores of this module have one each:
//
//	auditLog := sqlite.NewAuditLog(store, audit.Config{}) // or memory.NewAuditLog(audit.Config{})
//	activity := sqlite.NewUserActivity(store)
//	runner, err := projection.NewRunner(store, projection.Config{
//		Projections: []projection.Projection{auditLog, activity},
//	})
//	…
//	for record, err := range auditLog.ByActor(ctx, "user:alice", audit.Page{Limit: 10}) { … }
//
// Every home has the questions of [Reader] or [ActivityReader]. Order is always
// the position in the log, never a time that somebody claimed. Whoever was not
// named is anonymous, never the system.
//
// [Compare] shows that a log is equal to its [Replay]. [Trace] draws the causal
// tree of a correlation. Package audittest has one suite that every home passes.
package audit
