package postgres

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
)

// For tests of what cannot be brought about from outside.
var (
	CheckVersion = checkVersion
	IsUnsure     = isUnsure
)

// OfCommit returns an error of a COMMIT that was sent, and Undone one of a call
// that cannot have stored anything.
func OfCommit(err error) error { return &commitError{err} }

// Undone is beside OfCommit.
func Undone(err error) error { return &undoneError{err} }

// RequireQueueRests requires that those who make up calls rest while all that
// waits is on streams of calls on their way, and go on when these have ended.
func RequireQueueRests(t *testing.T, a eventstore.Append) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		enter := func() *request {
			r, err := newRequest(eventstore.DefaultLimits(), []eventstore.Append{a})
			require.NoError(t, err)
			alone, err := q.enter(r)
			require.NoError(t, err)
			require.Equal(t, len(q.busy) == 1 && len(q.waiting) == 0, alone)
			return r
		}
		first := enter()
		taken := make(chan []*request, flushers)
		for range flushers {
			go func() { taken <- q.take() }()
		}
		second, third := enter(), enter()
		synctest.Wait() // it never returns if they wake each other without end
		require.Empty(t, taken)
		q.free(first)
		require.Equal(t, []*request{second}, <-taken)
		synctest.Wait()
		require.Empty(t, taken, "the stream is on its way again")
		q.free(second)
		require.Equal(t, []*request{third}, <-taken)
		q.close()
	})
}
