package scale

import (
	"math"
	"slices"
	"strconv"

	"github.com/evident-go/evident/projection"
)

// Zipf returns the shares of n keys in all appends, largest first: that of the
// k-th is in proportion to k to the power of -skew. With skew 0 all are equal.
func Zipf(n int, skew float64) []float64 {
	shares, sum := make([]float64, n), 0.0
	for k := range shares {
		shares[k] = math.Pow(float64(k+1), -skew)
		sum += shares[k]
	}
	for k := range shares {
		shares[k] /= sum
	}
	return shares
}

// Divide divides each key whose share is above most into equal parts that are
// not, as somebody does who spreads the aggregates of a large tenant over several
// partitions. With most 0 nothing is divided. The order is kept.
func Divide(shares []float64, most float64) []float64 {
	if most <= 0 {
		return shares
	}
	var divided []float64
	for _, share := range shares {
		parts := max(1, math.Ceil(share/most))
		for range int(parts) {
			divided = append(divided, share/parts)
		}
	}
	return divided
}

// Slots are the shares of the slots that keys are hashed to, as lanes are.
type Slots [projection.Slots]float64

// Places returns the slots of n keys, of which the k-th is named "key-k".
func Places(n int) []int {
	places := make([]int, n)
	for k := range places {
		places[k] = projection.Slot("key-" + strconv.Itoa(k+1))
	}
	return places
}

// Hashed puts each key's share into its slot. There are at least as many places.
func Hashed(shares []float64, places []int) *Slots {
	var slots Slots
	for k, share := range shares {
		slots[places[k]] += share
	}
	return &slots
}

// Partitions returns the shares of so many partitions, largest first. A
// partition is a range of slots, as a lane is; there are at most as many as
// slots.
func (s *Slots) Partitions(n int) []float64 {
	n = min(n, len(s))
	shares := make([]float64, n)
	for slot, share := range s {
		shares[slot*n/len(s)] += share
	}
	slices.Sort(shares)
	slices.Reverse(shares)
	return shares
}

// Needed returns the smallest number of partitions at which the largest one's
// share of a total rate is within what a partition may have, and false if not
// even one for each slot is enough.
func (s *Slots) Needed(total, each float64) (int, bool) {
	for n := max(1, int(total/each)); n <= len(s); n++ {
		if s.Partitions(n)[0]*total <= each {
			return n, true
		}
	}
	return 0, false
}
