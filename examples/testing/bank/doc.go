// Package bank is a small bank with everything that an application has: an
// aggregate with rules ([Account]), a read model ([Balances]) and a store
// decorator ([Counted]). It is here for its tests.
//
// An aggregate is tested without a store. What happened is given, something is
// done, and the events that come of it, or the refusal, are compared:
//
//	aggregatetest.Given[Account](t, Accounts(), Opened{}, Deposited{Cents: 500}).
//		When(func(ctx context.Context, a *Account) error { return a.Withdraw(ctx, 200) }).
//		Then(Withdrawn{Cents: 200})
//
// A projection is tested over a memory store that a driver fills. Nothing
// sleeps: the driver returns when the projection has caught up.
//
// What has to survive failing stores is tested on eventstoretest.Faults, which
// fails before or after the fact, as it is told. And whoever writes a store, or
// wraps one, runs the suite that all stores of evident pass.
package bank
