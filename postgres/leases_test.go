package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/lease"
)

// renewal is a renewal that waits for somebody's transaction.
type renewal struct {
	renewed []lease.Lease
	err     error
}

// renewBehind renews leases, and returns when the renewal waits for a lock.
func renewBehind(t *testing.T, store *home, leases []lease.Lease) <-chan renewal {
	t.Helper()
	done := make(chan renewal, 1)
	go func() {
		renewed, err := store.Leases().Renew(t.Context(), leases, time.Hour)
		done <- renewal{renewed, err}
	}()
	require.Eventually(t, func() bool {
		return store.count(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == 1
	}, 20*time.Second, 5*time.Millisecond)
	return done
}

func TestARenewalThatHasWaitedForATakeoverRenewsNothing(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	mine, err := store.Leases().Acquire(t.Context(), "titles", "a", time.Nanosecond)
	require.NoError(t, err)
	takeover := beginPlain(t, store.Store)
	_, err = takeover.Exec(t.Context(), store.sql("UPDATE evident.leases SET owner = 'b', fence = fence + 1, expires_at = clock_timestamp() + interval '1 minute'"))
	require.NoError(t, err)
	done := renewBehind(t, store, []lease.Lease{mine})
	require.NoError(t, takeover.Commit(t.Context()))
	got := <-done
	require.NoError(t, got.err)
	assert.Empty(t, got.renewed)
	assert.Equal(t, 1, store.count(t, "SELECT count(*) FROM evident.leases WHERE owner = 'b' AND expires_at < clock_timestamp() + interval '2 minutes'"))
}

// Whoever waits has locked nothing that comes later by name, so that no two
// renewals wait for each other.
func TestRenewalsLockInOneOrder(t *testing.T) {
	t.Parallel()
	store := newHome(t)
	var mine []lease.Lease
	for i := range 8 {
		l, err := store.Leases().Acquire(t.Context(), fmt.Sprint("lease ", i), "a", time.Minute)
		require.NoError(t, err)
		mine = append(mine, l)
	}
	slices.Reverse(mine)
	holder := beginPlain(t, store.Store)
	_, err := holder.Exec(t.Context(), store.sql("SELECT FROM evident.leases WHERE name = 'lease 0' FOR UPDATE"))
	require.NoError(t, err)
	done := renewBehind(t, store, mine)
	assert.Equal(t, 7, store.count(t, "WITH free AS (SELECT name FROM evident.leases FOR UPDATE SKIP LOCKED) SELECT count(*) FROM free"))
	require.NoError(t, holder.Rollback(context.WithoutCancel(t.Context())))
	got := <-done
	require.NoError(t, got.err)
	assert.Len(t, got.renewed, 8)
}
