// Package aggregatetest tests aggregates the way they are specified: given
// what happened, when this is done, then that happens.
//
//	aggregatetest.Given[Document](t, documents, Created{Title: "Plan"}).
//		As(event.User("alice")).
//		When(func(ctx context.Context, d *Document) error { return d.Edit(ctx, "v2") }).
//		Then(Edited{Content: "v2"})
//
// Nothing is random and no store is needed: ids, times and actors are fixed
// unless a scenario sets them. The history is encoded and decoded as it would
// be in a store, so a payload that does not survive that shows at once.
package aggregatetest
