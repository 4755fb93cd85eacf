package projectiontest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What the environment may say to [Play].
const (
	stepsVariable = "EVIDENT_STEPS" // how many steps are taken in all
	seedVariable  = "EVIDENT_SEED"  // the one game that is played again
)

const (
	steps       = 10_000 // of all games, if nobody says otherwise
	gameSteps   = 500    // of one game: so few that a game that is lost can be gone through
	clauseSteps = 200    // of one that is a clause of the suite
)

// Play takes random steps on stores that open returns, and compares what comes
// of them with a small model: appends to several streams, events that are
// poison and heal, panics, outages of targets and of the store in front of
// and behind commits, processes that are killed, frozen and started again,
// redrives by command and by themselves, discards, rebuilds, and all this while
// projections run. Every event has to be applied, exactly once where that is
// promised, and in its sequence's order, or be parked.
//
// It takes 10,000 steps in games of 500, or as many as EVIDENT_STEPS says.
// Each game has a seed, which is its name; EVIDENT_SEED plays it again. Of a
// game in which projections run in the background the steps come again, not
// what happened at the same time.
func Play(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	PlaySteps(t, steps, open)
}

// PlaySteps does the same with another number of steps, unless EVIDENT_STEPS says
// otherwise: for stores on which a step takes long.
func PlaySteps(t *testing.T, steps int, open func(t *testing.T) Harness) {
	t.Helper()
	for _, seed := range seeds(t, steps) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			play(t, open(t).orExternal(), seed, gameSteps, oneByOne, inBatches)
		})
	}
}

// seeds returns the seeds of all games that are to be played.
func seeds(t *testing.T, steps int) []uint64 {
	t.Helper()
	if one, ok := os.LookupEnv(seedVariable); ok {
		seed, err := strconv.ParseUint(one, 10, 64)
		require.NoError(t, err, seedVariable)
		return []uint64{seed}
	}
	all := steps
	if given, ok := os.LookupEnv(stepsVariable); ok {
		var err error
		all, err = strconv.Atoi(given)
		require.NoError(t, err, stepsVariable)
	}
	first := uint64(time.Now().UnixMilli())
	games := make([]uint64, 0, all/gameSteps+1)
	for n := 0; n < all; n += gameSteps {
		games = append(games, first+uint64(n/gameSteps))
	}
	return games
}

// model is a short game with projections that handle events one by one.
func model() clause {
	return clause{Name: "a random program against a model", Check: func(t T, h Harness) {
		play(t, h, 1, clauseSteps, oneByOne)
	}}
}

// modelOfBatches is the same for projections that take whole batches.
func modelOfBatches() clause {
	return clause{Name: "a random program with handlers for batches", Check: func(t T, h Harness) {
		play(t, h, 2, clauseSteps, inBatches)
	}}
}

// play plays one game to its end.
func play(t T, h Harness, seed uint64, steps int, teams ...func(g *game)) {
	g := newGame(t, h, seed)
	for _, join := range teams {
		join(g)
	}
	for range steps {
		g.step()
	}
	g.finish()
	t.Log(g.summary())
}

// game is a random program with projections on a store, and what is known of it.
type game struct {
	t       T
	h       Harness
	random  *rand.Rand
	now     *clock
	streams []uuid.UUID
	players []*player
	live    *process // what runs in the background; nil for nothing
	log     []logged // all events, as far as they were looked at
	taken   map[string]int
}

// logged is what the model knows of an event.
type logged struct {
	position uint64
	key      string // of its sequence
}

func newGame(t T, h Harness, seed uint64) *game {
	g := &game{
		t: t, h: h, random: rand.New(rand.NewPCG(seed, 0)), taken: make(map[string]int),
		now: &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for range 6 {
		g.streams = append(g.streams, uuid.New())
	}
	return g
}

// oneByOne has two projections join that handle events one by one, exactly once
// and at least once.
func oneByOne(g *game) {
	g.join("single", func(p *player) Ledger { return g.h.NewLedger(g.t, p.name, p.hook) })
	g.join("outside", func(p *player) Ledger { return externalLedger(p.name, p.hook, p.empty) })
}

// inBatches has two projections join that handle whole batches.
func inBatches(g *game) {
	g.join("batched", func(p *player) Ledger { return g.h.NewBatchLedger(g.t, p.name, eachOf(p.hook)) })
	g.join("outside_batched", func(p *player) Ledger { return externalBatchLedger(p.name, eachOf(p.hook), p.empty) })
}

func (g *game) join(name string, newLedger func(p *player) Ledger) {
	p := &player{
		name: name, now: g.now, random: rand.New(rand.NewPCG(g.random.Uint64(), 0)),
		ills: make(map[uint64]ill), failed: make(map[string]bool), discards: make(map[string]int),
	}
	p.ledger = newLedger(p)
	g.players = append(g.players, p)
}

// turn is a kind of step, and how often it comes among others.
type turn struct {
	name   string
	weight int
	take   func(g *game)
}

// quietTurns are what happens while nothing runs, and liveTurns while
// projections run in the background.
func quietTurns() []turn {
	return []turn{
		{"append", 40, (*game).append},
		{"run", 20, (*game).run},
		{"heal", 6, (*game).heal},
		{"outage", 3, (*game).outage},
		{"time passes", 6, (*game).tick},
		{"redrive", 8, (*game).redrive},
		{"discard", 3, (*game).discard},
		{"rebuild", 1, (*game).rebuild},
		{"freeze", 2, (*game).freeze},
		{"freeze in a redrive", 2, (*game).freezeRedrive},
		{"dawdle", 2, (*game).dawdle},
		{"look", 5, (*game).check},
		{"order", 3, (*game).order},
		{"pause", 2, (*game).pause},
		{"go live", 3, (*game).goLive},
	}
}

func liveTurns() []turn {
	return []turn{
		{"append", 45, (*game).append},
		{"heal", 8, (*game).heal},
		{"outage", 2, (*game).outage},
		{"time passes", 6, (*game).tick},
		{"live redrive", 8, (*game).redriveLive},
		{"live discard", 3, (*game).discardLive},
		{"live order", 3, (*game).order},
		{"live pause", 2, (*game).pauseLive},
		{"wait", 8, (*game).await},
		{"stop", 4, (*game).stop},
		{"kill", 4, (*game).kill},
	}
}

// step takes one random step.
func (g *game) step() {
	turns := quietTurns()
	if g.live != nil {
		turns = liveTurns()
	}
	sum := 0
	for _, t := range turns {
		sum += t.weight
	}
	n := g.random.IntN(sum)
	for _, t := range turns {
		if n -= t.weight; n < 0 {
			g.taken[t.name]++
			t.take(g)
			g.settle()
			return
		}
	}
}

// summary says what the game was made of.
func (g *game) summary() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(g.taken)) {
		words = append(words, fmt.Sprintf("%d %s", g.taken[name], name))
	}
	return fmt.Sprintf("%d events; %s", len(g.log), strings.Join(words, ", "))
}

// any returns one of the players.
func (g *game) any() *player { return g.players[g.random.IntN(len(g.players))] }
