// Package projectiontest tests projections and what runs them.
//
// [New] drives a user's own projection over a store without sleeping: append,
// catch up, look at the read model, replay. [Run] is the conformance suite
// that holds [projection.Runner] to its promises on a store.
package projectiontest
