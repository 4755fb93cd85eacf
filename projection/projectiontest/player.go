package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// player is a projection in a game, and what is known of it.
type player struct {
	name   string
	ledger Ledger
	now    *clock

	mu     sync.Mutex
	random *rand.Rand
	ills   map[uint64]ill // by the position of the event that the handler fails for
	outage int            // calls of the handler for which its target is down
	doom   int            // calls until the process dies in the handler; 0 for never
	kill   func()
	asleep *fate           // of the process that is frozen in front of one of its steps; nil for none
	failed map[string]bool // sequences in which an event has failed by its own fault

	ordered   registry.Kind  // what is asked for and was not seen done yet
	rewound   bool           // since the last rebuild
	discards  map[string]int // asked for, by sequence
	forgotten int            // discards that were before the last rebuild
	reached   []uint64       // the checkpoints when they were last looked at
}

// ill is in which way an event is poison.
type ill uint8

const (
	unknownIll ill = iota // an error that says nothing
	knownIll              // an error that says so
	panicking             // a panic
	garbled               // a payload that does not decode
	cancelling            // a handler that says it was cancelled, and was not
	ills                  // how many there are
)

var (
	errSick = errors.New("sick event")
	errDown = errors.New("target is down")
)

func (i ill) err() error {
	switch i {
	case knownIll:
		return projection.AsPoison(errSick)
	case panicking:
		panic(errSick)
	case garbled:
		return fmt.Errorf("%w: %w", event.ErrDecode, errSick)
	case cancelling:
		return fmt.Errorf("%w: %w", context.Canceled, errSick)
	default:
		return errSick
	}
}

// hook is the handler, beside the line that its ledger writes.
func (p *player) hook(_ context.Context, e event.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doom > 0 {
		if p.doom--; p.doom == 0 {
			p.kill()
			return errDead
		}
	}
	if p.outage > 0 {
		p.outage--
		return projection.AsInfrastructure(errDown)
	}
	const slow = 40 // one of so many calls takes longer than a batch may
	if p.random.IntN(slow) == 0 {
		p.now.pass(time.Second)
	}
	if i, sick := p.ills[e.Position]; sick {
		p.failed[projection.DefaultSequenceKey(e)] = true
		return i.err()
	}
	return nil
}

// empty is called when the target is emptied, which a process may be frozen in
// front of.
func (p *player) empty(ctx context.Context) {
	p.mu.Lock()
	f := p.asleep
	p.mu.Unlock()
	if f != nil {
		f.pass(ctx)
	}
}

func (p *player) sleepBy(f *fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asleep = f
}

// sicken makes an event fail from now on.
func (p *player) sicken(position uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ills[position] = ill(p.random.IntN(int(ills)))
}

// heal heals so many events, or all if there are fewer, and the target.
func (p *player) heal(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage = 0
	sick := slices.Sorted(maps.Keys(p.ills))
	p.random.Shuffle(len(sick), func(i, j int) { sick[i], sick[j] = sick[j], sick[i] })
	for _, position := range sick[:min(n, len(sick))] {
		delete(p.ills, position)
	}
}

// breakDown takes the target down for so many calls.
func (p *player) breakDown(calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage = calls
}

// doomIn lets the process that runs the player die in so many calls of the
// handler; 0 for never.
func (p *player) doomIn(calls int, kill func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doom, p.kill = calls, kill
}

// unlessOrdered returns an error of a command, which is refused while an order
// waits to be carried out.
func (p *player) unlessOrdered(err error) error {
	if p.ordered != "" {
		return nil
	}
	return err
}

// isRewound reports whether the player was rewound since it was last rebuilt, or
// is about to be: of a target outside the checkpoint goes back first.
func (p *player) isRewound() bool { return p.rewound || p.ordered == registry.Rewind }

// mayPark reports whether an event of a sequence has failed by its own fault.
func (p *player) mayPark(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[key]
}

// clock is the time in a game. It moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
