package memory

import (
	"iter"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/registry"
)

// rows is what transactions change. Values are never changed in place: a
// reader may keep what it found.
type rows struct {
	checkpoints map[checkpoint.Key]checkpoint.Checkpoint
	letters     map[dlq.Sequence]*queue
	discarded   map[version][]dlq.Discarded
	records     map[registry.Name]registry.Record
}

// version is one version of a projection.
type version struct {
	projection string
	version    int
}

func newRows() rows {
	return rows{
		checkpoints: make(map[checkpoint.Key]checkpoint.Checkpoint),
		letters:     make(map[dlq.Sequence]*queue),
		discarded:   make(map[version][]dlq.Discarded),
		records:     make(map[registry.Name]registry.Record),
	}
}

// view is the rows as one transaction sees them: what is committed, with
// what it has changed above. It copies nothing that it does not change.
type view struct {
	journal     *journal
	checkpoints staged[checkpoint.Key, checkpoint.Checkpoint]
	letters     staged[dlq.Sequence, *queue]
	discarded   staged[version, []dlq.Discarded]
	records     staged[registry.Name, registry.Record]
}

func stage(committed *rows) *view {
	j := &journal{}
	return &view{
		journal:     j,
		checkpoints: staged[checkpoint.Key, checkpoint.Checkpoint]{journal: j, committed: committed.checkpoints},
		letters:     staged[dlq.Sequence, *queue]{journal: j, committed: committed.letters},
		discarded:   staged[version, []dlq.Discarded]{journal: j, committed: committed.discarded},
		records:     staged[registry.Name, registry.Record]{journal: j, committed: committed.records},
	}
}

// commit puts the changes into the committed rows. The caller keeps readers out.
func (v *view) commit() {
	v.checkpoints.commit()
	v.letters.commit()
	v.discarded.commit()
	v.records.commit()
}

// staged is one table as a transaction sees it.
type staged[K comparable, V any] struct {
	journal   *journal
	committed map[K]V
	changes   map[K]change[V]
}

// change is what a transaction did to one row.
type change[V any] struct {
	value   V
	deleted bool
}

// get returns the row of key and whether there is one.
func (s *staged[K, V]) get(key K) (V, bool) {
	if c, changed := s.changes[key]; changed {
		return c.value, !c.deleted
	}
	value, found := s.committed[key]
	return value, found
}

// all yields every row, in no order. Rows may be changed meanwhile.
func (s *staged[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for key, c := range s.changes {
			if !c.deleted && !yield(key, c.value) {
				return
			}
		}
		for key, value := range s.committed {
			if _, changed := s.changes[key]; !changed && !yield(key, value) {
				return
			}
		}
	}
}

func (s *staged[K, V]) put(key K, value V) { s.change(key, change[V]{value: value}) }

func (s *staged[K, V]) remove(key K) { s.change(key, change[V]{deleted: true}) }

func (s *staged[K, V]) change(key K, to change[V]) {
	if s.changes == nil {
		s.changes = make(map[K]change[V])
	}
	before, changed := s.changes[key]
	s.journal.record(func() {
		if changed {
			s.changes[key] = before
		} else {
			delete(s.changes, key)
		}
	})
	s.changes[key] = to
}

func (s *staged[K, V]) commit() {
	for key, c := range s.changes {
		if c.deleted {
			delete(s.committed, key)
		} else {
			s.committed[key] = c.value
		}
	}
}

// journal remembers how to undo what was done since the outermost savepoint
// that is open. Without a savepoint it remembers nothing: a transaction that is
// rolled back as a whole just forgets its view.
type journal struct {
	savepoints int
	undo       []func()
}

func (j *journal) record(undo func()) {
	if j.savepoints > 0 {
		j.undo = append(j.undo, undo)
	}
}

// open starts a savepoint and returns the mark to undo it by.
func (j *journal) open() int {
	j.savepoints++
	return len(j.undo)
}

// rollback undoes everything down to mark, the last thing first.
func (j *journal) rollback(mark int) {
	for len(j.undo) > mark {
		last := len(j.undo) - 1
		j.undo[last]()
		j.undo = j.undo[:last]
	}
}

// release ends the innermost savepoint.
func (j *journal) release() {
	j.savepoints--
	if j.savepoints == 0 {
		j.undo = nil
	}
}
