package memory

import "sync/atomic"

const blockSize = 256

// list grows at its end and never moves what it holds, so growing copies
// nothing. One goroutine at a time may grow it. Others may read entries that
// they learnt of through a lock or an atomic.
type list[T any] struct {
	blocks atomic.Pointer[[]*[blockSize]T]
	length uint64 // for the goroutine that grows it
}

// at returns entry i, counted from 0.
func (l *list[T]) at(i uint64) *T {
	return &(*l.blocks.Load())[i/blockSize][i%blockSize]
}

// add appends an entry with its zero value and returns it with its number.
func (l *list[T]) add() (entry *T, number uint64) {
	number = l.length
	if number%blockSize == 0 {
		l.grow()
	}
	l.length++
	return l.at(number), number
}

// grow publishes a new slice header. It may share its array with the one
// before: whoever holds that one never looks beyond its length.
func (l *list[T]) grow() {
	var blocks []*[blockSize]T
	if old := l.blocks.Load(); old != nil {
		blocks = *old
	}
	blocks = append(blocks, new([blockSize]T))
	l.blocks.Store(&blocks)
}
