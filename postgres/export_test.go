package postgres

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
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
			q.mu.Lock()
			defer q.mu.Unlock()
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

// PlanOf returns how PostgreSQL goes about a query for records.
func PlanOf(tb testing.TB, store *Store, query audit.Query) string {
	tb.Helper()
	records, by := recordListing(), recordSearch(query)
	text := by.sql(strings.Join(records.columns, ", "), records.in(store), !query.OldestFirst)
	args := by.where.within(signed(query.After), lastOf(query.Page), min(limitOf(query.Limit), pageRecords))
	rows, err := store.pool.Query(tb.Context(), "EXPLAIN "+text, append([]any{planned}, args...)...)
	require.NoError(tb, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(tb, err)
	return strings.Join(lines, "\n")
}

// IndexesOf returns the indexes that such a plan uses, and "Seq Scan" if it
// goes through a table.
func IndexesOf(tb testing.TB, store *Store, query audit.Query) string {
	tb.Helper()
	used := regexp.MustCompile(`audit_log_by_\w+|Seq Scan|Index Only`).FindAllString(PlanOf(tb, store, query), -1)
	return strings.Join(slices.Compact(used), " ")
}
