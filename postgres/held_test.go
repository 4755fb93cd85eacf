package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
)

// Callers' transactions that hold some streams keep those waiting that append
// to the same streams, and nobody else.
func TestHeldStreamsDoNotHoldOthers(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	const held = 4
	var waiting sync.WaitGroup
	var release []func(context.Context) error
	defer waiting.Wait()
	defer func() {
		for _, commit := range release {
			require.NoError(t, commit(context.WithoutCancel(t.Context())))
		}
	}()
	for range held {
		tx, err := store.Pool().Begin(t.Context())
		require.NoError(t, err)
		a := newAppend(1)
		_, err = store.Within(tx).Append(t.Context(), a)
		require.NoError(t, err)
		release = append(release, tx.Commit)
		same := eventstore.Append{Stream: a.Stream, Expected: eventstore.Any(), Events: randomEvents(1)}
		waiting.Go(func() { _, _ = store.Append(context.WithoutCancel(t.Context()), same) })
	}
	blocked := newPool(t, store.Pool().Config().ConnString())
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, blocked.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&n))
		return n > 0
	}, patience, tick)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range 10 {
		_, err := store.Append(ctx, newAppend(1))
		require.NoError(t, err)
	}
}
