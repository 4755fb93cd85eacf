package memory

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// index finds entries of a list by a key that holds a UUID. The keys are in
// the list already, so it keeps only hashes and leaves comparing to its user.
//
// Most look-ups are for ids that are new, and most ids are of version 7, which
// sort by time. So entries are kept in three tables by age, the newer two small
// enough for the processor's cache, and a table is not looked at for an id that
// is later than everything in it. The table of old entries grows only when
// somebody asks for one of them. With ids that do not sort by time all works
// the same, at the price of looking into the large table.
type index struct {
	hash func(number uint64) uint64 // of the key of an entry

	recent, before, old era
	merged              uint64 // how many entries old has
	sealed              uint64 // how many entries it has to have
}

// era is a table with the latest time of an id in it.
type era struct {
	table

	latest uint64
}

// An era ends when it has enough entries and time has moved on. Version 7
// counts in milliseconds: were an era to end within one, ids of the same
// millisecond could be earlier than it, and would have to be looked for in it.
const (
	eraSize    = 1024
	eraSizeMax = 8 * eraSize // for ids that do not sort by time
)

// find returns the number of the entry that has the id, the hash, and for
// which same is true.
func (ix *index) find(id *uuid.UUID, hash uint64, same func(number uint64) bool) (number uint64, found bool) {
	t := timeOf(id)
	if t <= ix.recent.latest {
		if number, found = ix.recent.find(hash, same); found {
			return number, true
		}
	}
	if t <= ix.before.latest {
		if number, found = ix.before.find(hash, same); found {
			return number, true
		}
	}
	if t > ix.old.latest {
		return 0, false
	}
	ix.merge()
	return ix.old.find(hash, same)
}

// put adds the entry with the next number.
func (ix *index) put(id *uuid.UUID, hash, number uint64) {
	t := timeOf(id)
	if ix.recent.full(t) {
		ix.seal()
	}
	ix.recent.put(hash, number)
	ix.recent.latest = max(ix.recent.latest, t)
}

// full reports whether an entry of time t belongs to the next era.
func (e *era) full(t uint64) bool {
	const withinMillisecond = 16 // bits of a time
	return e.used >= eraSize && (t>>withinMillisecond > e.latest>>withinMillisecond || e.used >= eraSizeMax)
}

// seal sets the newest entries aside. Those that were set aside before are old.
func (ix *index) seal() {
	ix.sealed += ix.before.used
	ix.old.latest = max(ix.old.latest, ix.before.latest)
	ix.recent, ix.before = ix.before, ix.recent
	ix.recent.clear()
	ix.recent.latest = 0
}

// merge brings the table of old entries up to date.
func (ix *index) merge() {
	if ix.merged == ix.sealed {
		return
	}
	ix.old.reserve(ix.sealed)
	for ; ix.merged < ix.sealed; ix.merged++ {
		ix.old.put(ix.hash(ix.merged), ix.merged)
	}
}

// timeOf returns the part of an id that sorts by time in version 7.
func timeOf(id *uuid.UUID) uint64 { return binary.BigEndian.Uint64(id[:8]) }
