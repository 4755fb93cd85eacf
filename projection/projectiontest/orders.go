package projectiontest

import (
	"context"
	"errors"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// decisions returns where the store keeps what is decided about projections, or
// nil if it has no such place.
func (h Harness) decisions() registry.Store {
	if d, ok := h.progress().(interface{ Registry() registry.Store }); ok {
		return d.Registry()
	}
	return nil
}

// record returns what is decided about a projection, and whether anything is:
// that is so as soon as it has run.
func (h Harness) record(t T, name string) (registry.Record, bool) {
	decisions := h.decisions()
	if decisions == nil {
		return registry.Record{}, false
	}
	r, err := decisions.Load(t.Context(), registry.Name{Projection: name, Version: 1})
	if errors.Is(err, registry.ErrNotFound) {
		return r, false
	}
	require.NoError(t, err)
	return r, true
}

// decide changes a record, however often somebody else is faster.
func (h Harness) decide(t T, name string, change func(r *registry.Record)) {
	for {
		r, found := h.record(t, name)
		require.True(t, found)
		change(&r)
		_, err := h.decisions().Save(t.Context(), r)
		if !errors.Is(err, registry.ErrChanged) {
			require.NoError(t, err)
			return
		}
	}
}

// order asks for something that whoever runs the projection next carries out.
func (g *game) order() {
	p := g.any()
	r, found := g.h.record(g.t, p.name)
	if !found || r.Ordered() {
		return
	}
	order := g.someOrder(p)
	p.ordered = order.Kind
	g.h.decide(g.t, p.name, func(r *registry.Record) { r.Order = order })
}

func (g *game) someOrder(p *player) registry.Order {
	order := registry.Order{Kind: registry.ChangeLanes, Lanes: 1 + g.random.IntN(4), Reason: "the game says so", At: g.now.time()}
	switch n := g.random.IntN(4); {
	case n == 0:
		order.Kind, order.Lanes = registry.Rebuild, 0
	case n == 1 && p.ledger.Projection.Guarantee() == projection.AtLeastOnce && len(p.discards) == 0: // what was discarded would come late
		order.Kind, order.Lanes = registry.Rewind, 0
		order.Position = uint64(g.random.Int64N(int64(slices.Min(g.h.reached(g.t, p.name))) + 1))
	}
	return order
}

// settle takes note of the orders that were carried out.
func (g *game) settle() {
	for _, p := range g.players {
		if p.ordered == "" {
			continue
		}
		r, _ := g.h.record(g.t, p.name)
		if r.Ordered() {
			require.Empty(g.t, r.Order.Problem, "an order to %s was refused", p.name)
			continue
		}
		p.reached = nil
		p.rewound = p.rewound || p.ordered == registry.Rewind
		if p.ordered == registry.Rebuild {
			g.forget(p)
		}
		p.ordered = ""
	}
}

// forget takes note that a player was rebuilt: what was discarded before has
// come again.
func (g *game) forget(p *player) {
	discarded, err := g.h.progress().DeadLetters().Discarded(g.t.Context(), p.name, 1)
	require.NoError(g.t, err)
	p.forgotten, p.rewound = len(discarded), false
	clear(p.discards)
}

// pause pauses a player for as long as a process tries to run it: nothing may
// come of that.
func (g *game) pause() {
	p := g.any()
	if r, found := g.h.record(g.t, p.name); !found || r.Ordered() {
		return
	}
	g.h.decide(g.t, p.name, func(r *registry.Record) { r.Pause = registry.Pause{Reason: "the game says so", At: g.now.time()} })
	before := g.score(p)
	g.append()
	proc := g.start(&fate{}, p)
	ctx, cancel := context.WithTimeout(proc.ctx, stuck)
	defer cancel()
	require.Error(g.t, proc.runner.RunUntilCaughtUp(ctx), "%s is paused", p.name)
	after := g.score(p)
	assert.Equal(g.t, before.lines, after.lines, "applied by a projection that is paused")
	assert.Equal(g.t, before.reached, after.reached, "moved by a projection that is paused")
	proc.fate.kill()
	g.resume(p)
}

func (g *game) resume(p *player) {
	g.h.decide(g.t, p.name, func(r *registry.Record) { r.Pause = registry.Pause{} })
}

// pauseLive pauses a player that runs in the background, and resumes it after
// some more appends.
func (g *game) pauseLive() {
	p := g.any()
	if _, found := g.h.record(g.t, p.name); !found {
		return
	}
	g.h.decide(g.t, p.name, func(r *registry.Record) { r.Pause = registry.Pause{Reason: "the game says so", At: g.now.time()} })
	g.append()
	g.append()
	g.resume(p)
}
