package chaostest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

// State is what is there besides events at one moment.
type State struct {
	Effects     []Effect                      // in the order in which they were written
	Tallies     map[uuid.UUID]Tally           // by stream
	Checkpoints map[string]map[int]Checkpoint // by projection and lane
	Letters     map[string]map[uint64]bool    // by projection and position
	Leases      []lease.Lease                 // also those that have ended; without an owner if given up
}

// Checkpoint is where a lane stands, and under which lease it got there.
type Checkpoint struct {
	Position uint64
	Fence    uint64
}

// Effect is a row of [Effects].
type Effect struct {
	Position uint64
	Stream   uuid.UUID
	Owner    string    // of the process that wrote it
	At       time.Time // when it was written
}

// Tally is a row of [Tallies].
type Tally struct {
	Events uint64
	Sum    uint64
	Last   uint64 // position
}

// Entry is what is known of an event.
type Entry struct {
	Position uint64
	Stream   uuid.UUID
	Key      string // of its sequence
	Value    uint64
}

// EntryOf returns what is known of an event.
func EntryOf(e event.Event) (Entry, error) {
	value, err := Value(e)
	return Entry{Position: e.Position, Stream: e.AggregateID, Key: projection.DefaultSequenceKey(e), Value: value}, err
}

// verdict collects what is wrong.
type verdict struct{ faults []string }

func (v *verdict) sayf(format string, args ...any) {
	const most = 20
	if len(v.faults) < most {
		v.faults = append(v.faults, fmt.Sprintf(format, args...))
	}
}

// judge holds a state against the log: what is below the checkpoint of its lane
// is applied or parked, as in a fresh replay, and nothing else is there.
func (s State) judge(log []Entry, lines []Effect, lanes int) []string {
	v := &verdict{}
	s.judgeEffects(v, log, lanes)
	s.judgeTallies(v, log, lanes)
	s.judgeLines(v, Outside, log, lines, lanes)
	return v.faults
}

// judgeApart is judge for effects and tallies that are not where the checkpoints
// are: more may be applied than these say, but nothing less, and nothing out of
// order.
func (s State) judgeApart(log []Entry, lines []Effect, lanes int) []string {
	v := &verdict{}
	s.judgeLines(v, Effects, log, s.Effects, lanes)
	s.judgeMarks(v, log, lanes)
	s.judgeLines(v, Outside, log, lines, lanes)
	return v.faults
}

// expects reports whether a projection has to have applied an event, and whether
// it has come so far.
func (s State) expects(name string, e Entry, lanes int) (applied, reached bool) {
	reached = e.Position <= s.Checkpoints[name][projection.LaneOf(e.Key, lanes)].Position
	return reached && !s.Letters[name][e.Position], reached
}

func (s State) judgeEffects(v *verdict, log []Entry, lanes int) {
	times, last := make(map[uint64]int), make(map[uuid.UUID]uint64)
	for _, e := range s.Effects {
		times[e.Position]++
		if e.Position < last[e.Stream] {
			v.sayf("effects: %d of %s was applied after %d", e.Position, e.Stream, last[e.Stream])
		}
		last[e.Stream] = max(last[e.Stream], e.Position)
	}
	for _, e := range log {
		want, _ := s.expects(Effects, e, lanes)
		if got := times[e.Position]; got != count(want) {
			v.sayf("effects: %d of %s was applied %d times, not %d", e.Position, e.Stream, got, count(want))
		}
		delete(times, e.Position)
	}
	for position := range times {
		v.sayf("effects: %d is no event", position)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// judgeTallies compares with a fresh replay.
func (s State) judgeTallies(v *verdict, log []Entry, lanes int) {
	fresh := make(map[uuid.UUID]Tally)
	for _, e := range log {
		if want, _ := s.expects(Tallies, e, lanes); want {
			t := fresh[e.Stream]
			fresh[e.Stream] = Tally{Events: t.Events + 1, Sum: t.Sum + e.Value, Last: e.Position}
		}
	}
	for stream, want := range fresh {
		if got := s.Tallies[stream]; got != want {
			v.sayf("tallies: %s is %+v, and %+v in a fresh replay", stream, got, want)
		}
	}
	for stream, got := range s.Tallies {
		if _, known := fresh[stream]; !known {
			v.sayf("tallies: %s is %+v, and not there in a fresh replay", stream, got)
		}
	}
}

// judgeMarks holds each tally against a fresh replay of its stream up to where the
// tally says that it is.
func (s State) judgeMarks(v *verdict, log []Entry, lanes int) {
	fresh := make(map[uuid.UUID]Tally)
	for _, e := range log {
		got := s.Tallies[e.Stream]
		if e.Position <= got.Last {
			t := fresh[e.Stream]
			fresh[e.Stream] = Tally{Events: t.Events + 1, Sum: t.Sum + e.Value, Last: e.Position}
		} else if want, _ := s.expects(Tallies, e, lanes); want {
			v.sayf("tallies: %s is at %d, and %d was not applied", e.Stream, got.Last, e.Position)
		}
	}
	for stream, got := range s.Tallies {
		if want := fresh[stream]; got != want {
			v.sayf("tallies: %s is %+v, and %+v in a fresh replay", stream, got, want)
		}
	}
}

// judgeLines judges what was written at least once; of a line that is there
// again only the first counts.
func (s State) judgeLines(v *verdict, name string, log []Entry, lines []Effect, lanes int) {
	seen, last := make(map[uint64]bool), make(map[uuid.UUID]uint64)
	for _, l := range lines {
		if !seen[l.Position] && l.Position < last[l.Stream] {
			v.sayf("%s: %d of %s was applied after %d", name, l.Position, l.Stream, last[l.Stream])
		}
		seen[l.Position] = true
		last[l.Stream] = max(last[l.Stream], l.Position)
	}
	for _, e := range log {
		if want, _ := s.expects(name, e, lanes); want && !seen[e.Position] {
			v.sayf("%s: %d of %s was not applied", name, e.Position, e.Stream)
		}
	}
}

// done returns how much has been done: the sum of all checkpoints.
func (s State) done() (sum uint64) {
	for _, lanes := range s.Checkpoints {
		for _, c := range lanes {
			sum += c.Position
		}
	}
	return sum
}

// behind says what is left to do until all projections have applied everything
// up to a position; "" for nothing.
func (s State) behind(position uint64, lanes int) string {
	for _, name := range []string{Effects, Tallies, Outside} {
		for lane := range lanes {
			if at := s.Checkpoints[name][lane].Position; at < position {
				return fmt.Sprintf("lane %d of %s is at %d of %d", lane, name, at, position)
			}
		}
		if n := len(s.Letters[name]); n > 0 {
			return fmt.Sprintf("%s has %d letters", name, n)
		}
	}
	return ""
}

// parseLines reads what [Outside] has written. A process that was killed may
// leave half a line.
func parseLines(text string) (lines []Effect) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 3 || !strings.HasSuffix(line, "\n") {
			continue
		}
		position, err := strconv.ParseUint(words[0], 10, 64)
		stream, bad := uuid.Parse(words[1])
		if err == nil && bad == nil {
			lines = append(lines, Effect{Position: position, Stream: stream, Owner: words[2]})
		}
	}
	return lines
}
