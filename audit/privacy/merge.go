package privacy

import (
	"iter"

	"github.com/evident-go/evident/audit"
)

// merged yields the records of several sequences, each oldest first, in the
// order of their positions, each once. It holds one record of each sequence.
func merged(sequences []iter.Seq2[audit.ActivityRecord, error]) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		walks := make([]*walk, len(sequences))
		for i, sequence := range sequences {
			walks[i] = startWalk(sequence)
		}
		defer func() {
			for _, w := range walks {
				w.stop()
			}
		}()
		last := uint64(0)
		for {
			next := earliest(walks)
			switch {
			case next == nil:
				return
			case next.err != nil:
				yield(audit.ActivityRecord{}, next.err)
				return
			}
			record := next.record
			next.advance()
			if record.Position() == last {
				continue
			}
			last = record.Position()
			if !yield(record, nil) {
				return
			}
		}
	}
}

// walk is a sequence and where one is in it.
type walk struct {
	next   func() (audit.ActivityRecord, error, bool)
	stop   func()
	record audit.ActivityRecord
	err    error
	ok     bool
}

func startWalk(sequence iter.Seq2[audit.ActivityRecord, error]) *walk {
	w := &walk{}
	w.next, w.stop = iter.Pull2(sequence)
	w.advance()
	return w
}

func (w *walk) advance() { w.record, w.err, w.ok = w.next() }

// earliest returns the walk whose record comes next, one that has failed before
// all others, nil if all are over.
func earliest(walks []*walk) (first *walk) {
	for _, w := range walks {
		switch {
		case !w.ok:
		case w.err != nil:
			return w
		case first == nil || w.record.Position() < first.record.Position():
			first = w
		}
	}
	return first
}
