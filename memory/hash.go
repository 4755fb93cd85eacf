package memory

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/google/uuid"
)

// hasher turns ids into numbers that are spread evenly over all bits. Its keys
// are random, so that nobody can choose ids which end up in one place.
type hasher struct{ low, high, names uint64 }

func newHasher() hasher {
	return hasher{low: rand.Uint64(), high: rand.Uint64(), names: rand.Uint64() | 1}
}

// id returns the hash of an event's id. It is never 0.
func (h *hasher) id(id *uuid.UUID) uint64 { return h.mix(id, 0) }

// stream returns the hash of a stream's id and names. It is never 0.
func (h *hasher) stream(id *uuid.UUID, tenant, kind uint32) uint64 {
	return h.mix(id, (uint64(tenant)<<32|uint64(kind)+1)*h.names)
}

// mix multiplies to 128 bits, where every bit of the product depends on many
// of the factors, and folds; twice, since one round leaves the ends weak.
func (h *hasher) mix(id *uuid.UUID, salt uint64) uint64 {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^h.low^salt, binary.LittleEndian.Uint64(id[8:])^h.high)
	high, low = bits.Mul64(high^low^h.names, h.high|1)
	return (high ^ low) | 1<<63
}
