package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/evident-go/evident/dlq"
)

// queue is the letters of one parked sequence, by position. It is a value that
// is replaced, not changed: a transaction's reader keeps the queue it found.
//
// Appending may write behind the end of an older queue's letters, into the
// array that both share. That is safe because there is one writer at a time
// and nobody looks behind the end of their own queue.
type queue struct {
	letters   []*dlq.Letter
	nextRetry time.Time
	until     uint64 // the last position that the retry goes up to; 0 for all
}

// find returns where the letter of a position is or would be, and whether it is there.
func (q *queue) find(position uint64) (int, bool) {
	if q == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(q.letters, position, func(l *dlq.Letter, p uint64) int { return cmp.Compare(l.Position, p) })
}

// with returns the queue with l in its place.
func (q *queue) with(i int, l dlq.Letter) *queue {
	if q == nil {
		return &queue{letters: []*dlq.Letter{&l}}
	}
	if i == len(q.letters) {
		return q.holding(append(q.letters, &l))
	}
	return q.holding(slices.Insert(slices.Clone(q.letters), i, &l))
}

// holding returns the queue with other letters.
func (q *queue) holding(letters []*dlq.Letter) *queue {
	return &queue{letters: letters, nextRetry: q.nextRetry, until: q.until}
}

// replaced returns the queue with l instead of its letter i, to be retried
// without a bound.
func (q *queue) replaced(i int, l dlq.Letter, nextRetry time.Time) *queue {
	letters := slices.Clone(q.letters)
	letters[i] = &l
	return &queue{letters: letters, nextRetry: nextRetry}
}

// without returns the queue without its letter i, or nil if it was the last one.
func (q *queue) without(i int) *queue {
	switch {
	case len(q.letters) == 1:
		return nil
	case i == 0:
		return q.holding(q.letters[1:])
	default:
		return q.holding(slices.Delete(slices.Clone(q.letters), i, i+1))
	}
}

// state returns the queue as a reader is told of it.
func (q *queue) state(s dlq.Sequence) dlq.Parked {
	return dlq.Parked{Sequence: s, Letters: len(q.letters), First: *q.letters[0], NextRetry: q.nextRetry, Until: q.until}
}

// oldest returns when the letter that waits longest was parked.
func (q *queue) oldest() time.Time {
	oldest := q.letters[0].ParkedAt
	for _, l := range q.letters[1:] {
		if l.ParkedAt.Before(oldest) {
			oldest = l.ParkedAt
		}
	}
	return oldest
}
