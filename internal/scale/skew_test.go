package scale_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/scale"
	"github.com/evident-go/evident/projection"
)

func TestZipf(t *testing.T) {
	t.Parallel()
	assert.InDeltaSlice(t, []float64{6.0 / 11, 3.0 / 11, 2.0 / 11}, scale.Zipf(3, 1), 1e-12)
	assert.InDeltaSlice(t, []float64{0.25, 0.25, 0.25, 0.25}, scale.Zipf(4, 0), 1e-12)
	assert.InEpsilon(t, 4.0, scale.Zipf(2, 2)[0]/scale.Zipf(2, 2)[1], 1e-12)
}

func TestDivide(t *testing.T) {
	t.Parallel()
	assert.InDeltaSlice(t, []float64{0.3, 0.3, 0.3, 0.1}, scale.Divide([]float64{0.6, 0.3, 0.1}, 0.3), 1e-12)
	assert.InDeltaSlice(t, []float64{0.6, 0.4}, scale.Divide([]float64{0.6, 0.4}, 0), 0)
}

func TestKeysGoWhereLanesWouldGo(t *testing.T) {
	t.Parallel()
	const partitions = 7
	shares := scale.Zipf(500, 1)
	var want [partitions]float64
	for k, share := range shares {
		want[projection.LaneOf(fmt.Sprintf("key-%d", k+1), partitions)] += share
	}
	got := scale.Hashed(shares, scale.Places(500)).Partitions(partitions)
	assert.InDelta(t, 1, sum(got), 1e-9)
	assert.IsNonIncreasing(t, got)
	for _, share := range want {
		assert.True(t, within(got, share), "no partition has %v", share)
	}
}

func within(shares []float64, share float64) bool {
	for _, s := range shares {
		if s-share < 1e-12 && share-s < 1e-12 {
			return true
		}
	}
	return false
}

func sum(shares []float64) (all float64) {
	for _, s := range shares {
		all += s
	}
	return all
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	slots := scale.Hashed(scale.Zipf(100_000, 0), scale.Places(100_000))
	n, ok := slots.Needed(1e6, 20_000)
	require.True(t, ok)
	assert.LessOrEqual(t, slots.Partitions(n)[0]*1e6, 20_000.0)
	for fewer := 50; fewer < n; fewer++ { // 50 would do if keys fell evenly
		assert.Greater(t, slots.Partitions(fewer)[0]*1e6, 20_000.0)
	}

	_, ok = scale.Hashed(scale.Zipf(10_000, 1), scale.Places(10_000)).Needed(1e6, 20_000)
	assert.False(t, ok, "the largest key alone is too much for any partition")
}
