package memory

// table is a hash table from hashes to numbers, with open addressing. Its
// entries hold no pointers: the garbage collector passes it over. The zero
// value is empty.
type table struct {
	slots []slot // none, or a power of two of them
	mask  uint64 // the number of slots less one
	used  uint64
}

// slot holds a number plus one; a slot whose number is 0 is free.
type slot struct{ hash, number uint64 }

const firstSlots = 64

// find returns the number that was put under hash and for which same is true.
func (t *table) find(hash uint64, same func(number uint64) bool) (number uint64, found bool) {
	if t.used == 0 {
		return 0, false
	}
	for i := hash & t.mask; t.slots[i].number != 0; i = (i + 1) & t.mask {
		if s := t.slots[i]; s.hash == hash && same(s.number-1) {
			return s.number - 1, true
		}
	}
	return 0, false
}

// put adds a number. Half of the slots stay free, so that probing is short.
func (t *table) put(hash, number uint64) {
	t.reserve(t.used + 1)
	t.insert(slot{hash, number + 1})
	t.used++
}

func (t *table) insert(s slot) {
	i := s.hash & t.mask
	for t.slots[i].number != 0 {
		i = (i + 1) & t.mask
	}
	t.slots[i] = s
}

// reserve makes room for n numbers in all.
func (t *table) reserve(n uint64) {
	size := uint64(firstSlots)
	for size <= t.mask || size < 2*n {
		size *= 2
	}
	if size == t.mask+1 {
		return
	}
	old := t.slots
	t.slots, t.mask = make([]slot, size), size-1
	for _, s := range old {
		if s.number != 0 {
			t.insert(s)
		}
	}
}

// clear empties the table and keeps its room.
func (t *table) clear() {
	clear(t.slots)
	t.used = 0
}
