// Package promisetest runs the conformance suites: for each numbered promise of
// an interface's doc comment the clauses that hold a store to it.
//
// A clause is written against [T] instead of *testing.T, so that a suite's own
// test can run it against a store that breaks the promise and see it fail
// ([Failing]). [Stated] reads the promises from the doc comment, so that suite
// and contract cannot come to differ.
package promisetest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// T is what a clause needs of a test.
type T interface {
	require.TestingT
	Helper()
	Log(args ...any)
	Context() context.Context
}

// Promise is one numbered promise and the clauses that it is held to.
type Promise[H any] struct {
	Words   string // as the doc comment has them, with the number in front
	Clauses []Clause[H]
}

// Clause is one thing that a promise says. It gets what is tested fresh.
type Clause[H any] struct {
	Name  string
	Check func(t T, h H)
}

// Run runs every clause, in parallel, as a subtest of its promise.
func Run[H any](t *testing.T, promises []Promise[H], open func(t *testing.T) H) {
	t.Helper()
	for _, promise := range promises {
		t.Run(promise.Words, func(t *testing.T) {
			t.Parallel()
			for _, clause := range promise.Clauses {
				t.Run(clause.Name, func(t *testing.T) {
					t.Parallel()
					clause.Check(t, open(t))
				})
			}
		})
	}
}

// Failing runs the clauses of the given names, or all if none is given, and
// returns the names of those that fail.
func Failing[H any](t *testing.T, promises []Promise[H], open func(t *testing.T) H, names ...string) []string {
	t.Helper()
	var failing []string
	for _, promise := range promises {
		for _, clause := range promise.Clauses {
			if len(names) > 0 && !slices.Contains(names, clause.Name) {
				continue
			}
			h := open(t)
			if fails(t, func(t T) { clause.Check(t, h) }) {
				failing = append(failing, clause.Name)
			}
		}
	}
	return failing
}

// Race calls f in n goroutines that start together and returns their errors.
func Race(n int, f func(i int) error) []error {
	var (
		start = make(chan struct{})
		errs  = make([]error, n)
		all   sync.WaitGroup
	)
	for i := range n {
		all.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return errs
}
