package memory

// arena hands out pieces of large chunks. Pieces are named by [span], not by
// pointer: a million events without pointers cost the garbage collector
// nothing. As to concurrency it is like [list].
type arena[T any] struct {
	chunks list[[]T]
	size   int // of a chunk
	free   []T // what is left of the newest chunk
}

// span is a piece of an arena. The zero value is empty.
type span struct{ chunk, offset, length uint32 }

// take returns a piece of n entries that nobody else has; n is below 2³¹.
func (a *arena[T]) take(n int) ([]T, span) {
	if n == 0 {
		return nil, span{}
	}
	if n > a.size/4 {
		return a.takeAlone(n)
	}
	if n > len(a.free) {
		chunk, _ := a.chunks.add()
		*chunk = make([]T, a.size)
		a.free = *chunk
	}
	s := a.span(a.chunks.length-1, a.size-len(a.free), n)
	piece := a.free[:n:n]
	a.free = a.free[n:]
	return piece, s
}

// takeAlone gives a large piece a chunk of its own.
func (a *arena[T]) takeAlone(n int) ([]T, span) {
	chunk, number := a.chunks.add()
	*chunk = make([]T, n)
	a.free = nil // belongs to a chunk that is not the newest any more
	return *chunk, a.span(number, 0, n)
}

// span packs three numbers that memory keeps small: chunks are some kilobytes
// each, and no piece is larger than a payload with its metadata.
func (*arena[T]) span(chunk uint64, offset, length int) span {
	return span{chunk: uint32(chunk), offset: uint32(offset), length: uint32(length)} //nolint:gosec // see above.
}

// at returns the piece that s names.
func (a *arena[T]) at(s span) []T {
	if s.length == 0 {
		return nil
	}
	return (*a.chunks.at(uint64(s.chunk)))[s.offset : s.offset+s.length : s.offset+s.length]
}
