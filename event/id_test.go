package event_test

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
)

// milliseconds returns the time that an id of version 7 holds.
func milliseconds(id uuid.UUID) int64 {
	return int64(binary.BigEndian.Uint64(id[:8]) >> 16)
}

func TestNewIDIsVersion7(t *testing.T) {
	t.Parallel()
	for range 1000 {
		id := event.NewID()
		require.Equal(t, uuid.Version(7), id.Version())
		require.Equal(t, uuid.RFC4122, id.Variant())
	}
}

func TestNewIDAtHoldsTheTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 2, 3, 4, 5, 678901234, time.UTC)
	assert.Equal(t, now.UnixMilli(), milliseconds(event.NewIDAt(now)))
	before := time.Now().UnixMilli()
	made := milliseconds(event.NewID())
	assert.GreaterOrEqual(t, made, before)
	assert.LessOrEqual(t, made, time.Now().UnixMilli())
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var ids []string
	for i := range 1000 {
		ids = append(ids, event.NewIDAt(start.Add(time.Duration(i)*time.Millisecond)).String())
	}
	assert.True(t, slices.IsSorted(ids))
}

func TestIDsAreUnique(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 5000
	now := time.Now() // all in one millisecond
	lists := make([][]uuid.UUID, writers)
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() {
			for range each {
				lists[i] = append(lists[i], event.NewIDAt(now))
			}
		})
	}
	wg.Wait()
	seen := make(map[uuid.UUID]struct{})
	for _, id := range slices.Concat(lists...) {
		seen[id] = struct{}{}
	}
	assert.Len(t, seen, writers*each)
}
