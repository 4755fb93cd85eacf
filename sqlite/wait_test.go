package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/sqlite"
)

func TestWaitEndsWithTheStore(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.PollInterval = time.Microsecond
	store, err := sqlite.Open(t.Context(), config)
	require.NoError(t, err)
	ended := make(chan error)
	go func() {
		_, err := store.Wait(t.Context(), 0)
		ended <- err
	}()
	require.NoError(t, store.Close())
	require.ErrorIs(t, <-ended, eventstore.ErrClosed)
	require.NoError(t, store.Close())
}

func TestWaitIsWokenByItsOwnProcessAtOnce(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.PollInterval = time.Hour
	store := open(t, config)
	heads := make(chan uint64)
	go func() {
		head, err := store.Wait(t.Context(), 0)
		assert.NoError(t, err)
		heads <- head
	}()
	add(t, store, 2)
	assert.Equal(t, uint64(2), <-heads)
}

func TestWaitSeesOtherStoresAfterBeingIdle(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.PollInterval = 100 * time.Microsecond
	store, other := open(t, config), open(t, config)
	for n := range uint64(5) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond) // long enough for the pauses to grow
		_, err := store.Wait(ctx, n)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)

		heads := make(chan uint64)
		go func() {
			head, err := store.Wait(t.Context(), n)
			assert.NoError(t, err)
			heads <- head
		}()
		add(t, other, 1)
		assert.Equal(t, n+1, <-heads)
	}
}

func TestNoWakeUpIsLost(t *testing.T) {
	t.Parallel()
	config := newFile(t)
	config.PollInterval = time.Hour
	store := open(t, config)
	for n := range uint64(200) {
		heads := make(chan uint64)
		go func() {
			head, err := store.Wait(t.Context(), n)
			assert.NoError(t, err)
			heads <- head
		}()
		add(t, store, 1)
		require.Equal(t, n+1, <-heads)
	}
}
