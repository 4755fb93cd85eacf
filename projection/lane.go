package projection

import (
	"hash/fnv"

	"github.com/evident-go/evident/registry"
)

// Slots is the number of slots that the keys of sequences fall into. A lane is
// a range of slots.
const Slots = registry.MaxLanes

// Slot returns the slot of a sequence's key, from 0 to Slots-1: the 64-bit
// FNV-1a hash of the key's bytes, modulo Slots. Checkpoints of lanes depend on
// it, so it never changes.
//
// Source: Fowler, Noll, Vo, IETF RFC 9923, "The FNV Non-Cryptographic Hash
// Algorithm".
func Slot(key string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(h.Sum64() % Slots)
}

// LaneOf returns which of so many lanes a sequence's key belongs to, from 0.
// Lanes are ranges of slots of nearly the same length; there are at most
// [Slots] of them.
func LaneOf(key string, lanes int) int {
	if lanes <= 1 {
		return 0
	}
	return Slot(key) * min(lanes, Slots) / Slots
}
