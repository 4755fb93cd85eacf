// Package event holds the envelope that every recorded fact travels in: what
// happened, to which aggregate, at which version, who caused it and why.
//
// A payload is a plain struct with one method, EventType, which names the
// event in storage. The name never comes from a Go type, so renaming a type
// never renames history. An [Event] is the payload's bytes with everything
// around them; [Of] is the same with the payload decoded.
//
// Who acts, for which tenant and in which chain of causes is carried by
// [context.Context] ([WithActor], [WithTenant], [WithCorrelation],
// [WithCause], [WithMetadata]) and stamped on every event by [New] and by
// aggregates.
//
// Who acts because of an event may have to try several times. [WithReaction]
// says so, and lets what is appended have ids that are the same in every try.
//
// Payload types evolve by chains of typed steps that hang on the type itself,
// see [Upcaster]. [Handlers] is the table that aggregates and projections use
// to find the function for an event; there is no process-wide registry.
package event
