package eventstoretest

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/promisetest"
)

// T is what a clause needs of a test; *testing.T is one.
type T = promisetest.T

// Factory returns a store that is empty and ready, a fresh one at each call,
// and closes it when the test ends. It is called from parallel tests.
type Factory func(t *testing.T) eventstore.Store

// Option adapts the suite to a store.
type Option func(*suite)

// Second says how to open the data of a store once more, as another process
// would. Without it the same store is used in place of the second.
func Second(open func(t *testing.T, store eventstore.Store) eventstore.Store) Option {
	return func(s *suite) { s.second = open }
}

// Declined names clauses that the store does not keep, each with the reason,
// which is printed in their place.
func Declined(reasons map[string]string) Option {
	return func(s *suite) { maps.Copy(s.declined, reasons) }
}

// Bound says that the store accepts one tenant only, as those made by
// [eventstore.BindTenant] do: all streams are that tenant's, and clauses that
// need another are declined.
func Bound(tenant event.TenantID) Option {
	return func(s *suite) {
		s.tenant = tenant
		for _, clause := range severalTenants() {
			s.declined[clause] = "the store is bound to tenant " + string(tenant)
		}
	}
}

// Run holds the stores that open returns to every promise.
func Run(t *testing.T, open Factory, options ...Option) {
	t.Helper()
	s := newSuite(options...)
	run, err := s.without(promises())
	require.NoError(t, err)
	promisetest.Run(t, run, func(t *testing.T) subject { t.Helper(); return s.subject(t, open) })
}

type suite struct {
	patience time.Duration
	tenant   event.TenantID
	second   func(t *testing.T, store eventstore.Store) eventstore.Store
	held     func(ctx context.Context, store eventstore.Store, appends ...eventstore.Append) (Held, error)
	declined map[string]string
}

func newSuite(options ...Option) *suite {
	s := &suite{declined: make(map[string]string), patience: 30 * time.Second, held: openLate}
	for _, option := range options {
		option(s)
	}
	return s
}

type (
	clause  = promisetest.Clause[subject]
	promise = promisetest.Promise[subject]
)

// without returns all promises, with what is declined replaced by its reason.
func (s *suite) without(all []promise) ([]promise, error) {
	left := maps.Clone(s.declined)
	for i := range all {
		for j := range all[i].Clauses {
			c := &all[i].Clauses[j]
			reason, declined := left[c.Name]
			if !declined {
				continue
			}
			if reason == "" {
				return nil, &event.InvalidError{Field: "declined", Value: c.Name, Reason: "needs a reason"}
			}
			delete(left, c.Name)
			c.Check = func(t T, _ subject) { t.Helper(); t.Log("declined: " + reason) }
		}
	}
	for name := range left {
		return nil, &event.InvalidError{Field: "declined", Value: name, Reason: "is no clause of the suite"}
	}
	return all, nil
}

func promises() []promise {
	return []promise{
		{Words: "1 Atomic", Clauses: atomicAppends()},
		{Words: "2 Expected version", Clauses: expectations()},
		{Words: "3 Contiguous versions", Clauses: contiguous()},
		{Words: "4 Honest", Clauses: honest()},
		{Words: "5 Stable prefix", Clauses: append(stablePrefix(), heldOpen()...)},
		{Words: "6 Stream order inside the log", Clauses: streamOrder()},
		{Words: "7 Round trip", Clauses: roundTrip()},
		{Words: "8 Identifiers", Clauses: identifiers()},
		{Words: "9 Streaming", Clauses: streaming()},
		{Words: "10 Filters are pushed down", Clauses: filters()},
		{Words: "11 Wake-up", Clauses: wakeUp()},
		{Words: "12 Tenants fail closed", Clauses: tenants()},
		{Words: "13 Limits are stated and typed", Clauses: limits()},
		{Words: "14 Use after close", Clauses: closing()},
	}
}
