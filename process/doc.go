// Package process runs process managers, which some call sagas: what takes
// several steps, several aggregates, and time. An order is fulfilled by
// reserving stock, asking for money and shipping; if the money does not come,
// the stock is given back.
//
// A [Definition] says which events begin an instance of the process, which
// others it handles, and what it does: give commands ([Instance.Do]), record
// what happened to itself ([Instance.Emit]), and wait ([Instance.SetTimeout]).
// An instance is an aggregate: what it remembers is built from its own events,
// and they tell all there is to know of it. When it fails ([Instance.Fail]) what
// it has done is undone in the reverse order ([Undo]).
//
// A [Manager] runs the instances. It is fed by a projection, so its checkpoint,
// its retries and its dead letters are a runner's; an event that fails parks its
// own instance and no other. Handlers may run several times, after a crash for
// example. What they append through package aggregate takes effect once, since
// the ids of their events follow from the event that is handled.
package process
