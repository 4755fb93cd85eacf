package postgres_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// fate is what has to become of an event that a writer sent.
type fate uint8

const (
	kept   fate = iota + 1 // its append was acknowledged
	undone                 // its append was refused, or its transaction rolled back
)

// ledger is what the writers know.
type ledger struct {
	mu    sync.Mutex
	fates map[uuid.UUID]fate
	count map[string]int // of answers, by kind
}

func newChaosLedger() *ledger {
	return &ledger{fates: make(map[uuid.UUID]fate), count: make(map[string]int)}
}

// note writes down the fate of all events of an append.
func (l *ledger) note(f fate, answer string, appends ...eventstore.Append) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[answer]++
	for i := range appends {
		for n := range appends[i].Events {
			l.fates[appends[i].Events[n].ID] = f
		}
	}
}

// tally counts something that is no fate.
func (l *ledger) tally(what string) { l.note(0, what) }

// entry is what a reader remembers of an event.
type entry struct {
	position uint64
	id       uuid.UUID
	stream   eventstore.Stream
	version  uint64
}

func entryOf(e *event.Event) entry {
	return entry{position: e.Position, id: e.ID, stream: eventstore.StreamOf(*e), version: e.AggregateVersion}
}

// requireHonest requires that the log holds each acknowledged event once, and
// none of those that were refused or rolled back.
func (l *ledger) requireHonest(t *testing.T, log []entry) {
	t.Helper()
	stored := make(map[uuid.UUID]int, len(log))
	for _, e := range log {
		stored[e.id]++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, ghosts, twice := 0, 0, 0
	for id, f := range l.fates {
		switch n := stored[id]; {
		case f == kept && n == 0:
			lost++
		case f == undone && n > 0:
			ghosts++
		case n > 1:
			twice++
		}
		delete(stored, id)
	}
	assert.Zero(t, lost, "acknowledged events that are not in the table")
	assert.Zero(t, ghosts, "events in the table whose append was refused or rolled back")
	assert.Zero(t, twice, "events that are in the table twice")
	assert.Empty(t, stored, "events in the table that nobody has sent")
}

// account is what a reader has made of the log.
type account struct {
	skipped  int // in the log, never seen
	twice    int // seen more than once
	phantoms int // seen, but not in the log: lost again
	disorder int // seen after a higher position
	holes    int // seen at another version than the next of its stream
}

func (a account) String() string {
	return fmt.Sprintf("%d skipped, %d twice, %d phantoms, %d out of order, %d version holes", a.skipped, a.twice, a.phantoms, a.disorder, a.holes)
}

// accountOf compares what was seen with the part of the log that was wanted.
func accountOf(wanted, seen []entry) account {
	var a account
	left := make(map[uuid.UUID]bool, len(wanted))
	for _, e := range wanted {
		left[e.id] = true
	}
	var last uint64
	versions := make(map[eventstore.Stream]uint64)
	for _, e := range seen {
		switch missing, known := left[e.id]; {
		case !known:
			a.phantoms++
		case !missing:
			a.twice++
		}
		left[e.id] = false
		if e.position <= last {
			a.disorder++
		}
		if e.version != versions[e.stream]+1 {
			a.holes++
		}
		last, versions[e.stream] = e.position, e.version
	}
	for _, missing := range left {
		if missing {
			a.skipped++
		}
	}
	return a
}
