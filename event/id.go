package event

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// NewID returns a new random event id: a UUID of version 7 (RFC 9562 §5.7),
// which sorts by time. It is safe for concurrent use and does not block.
//
// The 74 random bits come from math/rand/v2's top-level source, a ChaCha8
// generator per thread that the runtime seeds from the operating system. Ids
// are unique, not secret. Use [github.com/google/uuid] where an id must not
// be guessable.
func NewID() uuid.UUID { return newID(time.Now(), rand.Uint64(), rand.Uint64()) }

// NewIDAt is [NewID] with the time given, in milliseconds' precision.
func NewIDAt(t time.Time) uuid.UUID { return newID(t, rand.Uint64(), rand.Uint64()) }

func newID(t time.Time, a, b uint64) uuid.UUID {
	var id uuid.UUID
	// 48 bits of milliseconds last until the year 10889.
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|a&0x0fff|0x7000)
	binary.BigEndian.PutUint64(id[8:], b>>2|1<<63)
	return id
}
