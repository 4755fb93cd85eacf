package projectiontest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/projection"
)

// score is what a store holds of a player at a moment when nothing runs.
type score struct {
	*player

	lines     []uint64
	times     map[uint64]int // that an event was applied
	letters   map[uint64]dlq.Letter
	parked    []dlq.Parked
	discarded map[uint64]bool
	discards  map[string]int // by sequence
	reached   []uint64       // the checkpoint of each lane
}

// check holds what every player has made of the log against the rules.
func (g *game) check() {
	g.settle()
	g.look()
	for _, p := range g.players {
		s := g.score(p)
		broken := s.broken(g.log)
		require.Empty(g.t, broken, "%s after %s", p.name, g.summary())
		p.reached = s.reached
	}
}

func (g *game) score(p *player) score {
	s := score{
		player: p, times: make(map[uint64]int), letters: make(map[uint64]dlq.Letter),
		discarded: make(map[uint64]bool), discards: make(map[string]int), reached: g.h.reached(g.t, p.name),
	}
	s.lines = p.ledger.positions(g.t)
	for _, position := range s.lines {
		s.times[position]++
	}
	s.parked = g.h.sequences(g.t, p.name)
	for _, l := range g.h.letters(g.t, p.name) {
		s.letters[l.Position] = l
	}
	discarded, err := g.h.progress().DeadLetters().Discarded(g.t.Context(), p.name, 1)
	require.NoError(g.t, err)
	for _, d := range discarded[p.forgotten:] {
		s.discarded[d.Letter.Position] = true
		s.discards[d.Letter.Sequence.Key]++
	}
	return s
}

// reached returns the checkpoints of a projection's lanes, at least one.
func (h Harness) reached(t T, name string) []uint64 {
	all, err := h.progress().Checkpoints().List(t.Context(), name)
	require.NoError(t, err)
	lanes := 1
	if r, found := h.record(t, name); found {
		lanes = r.Lanes
	}
	reached := make([]uint64, lanes)
	for _, c := range all {
		if c.Position > 0 {
			reached[c.Key.Lane] = c.Position
		}
	}
	return reached
}

// broken returns which rules are broken, in words.
func (s *score) broken(log []logged) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	keys := make(map[uint64]string, len(log))
	for _, e := range log {
		keys[e.position] = e.key
		s.judge(e, say)
	}
	s.judgeOrder(keys, say)
	s.judgeLetters(say)
	s.judgeProgress(say)
	return all
}

// judge holds one event against the rules: below the checkpoint it is applied,
// parked or discarded, above it is not touched.
func (s *score) judge(e logged, say func(string, ...any)) {
	_, waits := s.letters[e.position]
	applied, gone := s.times[e.position], s.discarded[e.position]
	exact := s.ledger.Projection.Guarantee() == projection.ExactlyOnce
	done := e.position <= s.reached[projection.LaneOf(e.key, len(s.reached))]
	switch {
	case done && applied == 0 && !waits && !gone:
		say("event %d is lost: neither applied nor parked", e.position)
	case exact && applied > 1:
		say("event %d was applied %d times", e.position, applied)
	case exact && applied > 0 && (waits || gone):
		say("event %d was applied, and is parked or discarded", e.position)
	case !done && exact && applied > 0:
		say("event %d was applied above the checkpoint", e.position)
	case !done && waits && !s.isRewound(): // a rewind leaves those alone that parked below
		say("event %d is parked above the checkpoint", e.position)
	}
}

// judgeOrder holds the lines of the ledger against the order of each sequence;
// of a line that is there again only the first counts, as a target would have it
// that tells events by their positions.
func (s *score) judgeOrder(keys map[uint64]string, say func(string, ...any)) {
	last := make(map[string]uint64)
	seen := make(map[uint64]bool, len(s.lines))
	for _, position := range s.lines {
		key, known := keys[position]
		switch {
		case !known:
			say("line %d is of no event", position)
		case seen[position]:
		case position < last[key]:
			say("event %d was applied after %d of the same sequence", position, last[key])
		default:
			last[key] = position
		}
		seen[position] = true
	}
	if s.ledger.Projection.Guarantee() != projection.ExactlyOnce {
		return
	}
	for position, l := range s.letters {
		if done := last[l.Sequence.Key]; position < done {
			say("event %d was applied while %d of the same sequence is parked", done, position)
		}
	}
}

// judgeLetters holds what is parked against the rules: nothing is parked in
// whose sequence nothing has failed, nothing is forgotten, and nothing is
// discarded that nobody wanted to.
func (s *score) judgeLetters(say func(string, ...any)) {
	for _, p := range s.parked {
		if !s.mayPark(p.Sequence.Key) {
			say("sequence %s is parked, though no event of it is to blame", p.Sequence.Key)
		}
		if p.First.Cause == "" && p.NextRetry.IsZero() {
			say("sequence %s waits behind nothing, and nobody will try it", p.Sequence.Key)
		}
	}
	for key, n := range s.discards {
		if wanted := s.player.discards[key]; n > wanted {
			say("%d letters of %s are discarded, and %d were to be", n, key, wanted)
		}
	}
}

// judgeProgress requires that no checkpoint has moved back.
func (s *score) judgeProgress(say func(string, ...any)) {
	if len(s.reached) != len(s.player.reached) || s.ordered != "" {
		return // new, divided anew, or about to be
	}
	for lane, before := range s.player.reached {
		if s.reached[lane] < before {
			say("the checkpoint of lane %d went back from %d to %d", lane, before, s.reached[lane])
		}
	}
}

// sequences returns what is parked of a projection.
func (h Harness) sequences(t T, name string) []dlq.Parked {
	parked, err := h.progress().DeadLetters().Sequences(t.Context(), dlq.Filter{Projection: name})
	require.NoError(t, err)
	return parked
}
