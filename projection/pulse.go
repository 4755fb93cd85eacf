package projection

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/registry"
)

// pulse is what a runner asks the database at regular times, for all its
// projections at once: what is decided about them, who else runs them, and who
// has which lanes.
type pulse struct {
	runner *Runner
	config Config

	mu      sync.Mutex
	users   int
	stop    func()        // ends the goroutine
	begun   chan struct{} // closed when it has asked for the first time
	records []registry.Record
	members []lease.Lease // of all projections, in order
	holders []lease.Lease // of lanes
	head    uint64        // of the store, as last seen
	asked   time.Time     // when the head was asked for
}

// longestRound is how long it takes at the most until a runner sees what was
// decided elsewhere.
const longestRound = time.Second

func (c Config) round() time.Duration { return max(time.Millisecond, min(longestRound, c.LeaseTTL/10)) }

// attend has the pulse beat until leave is called as often, and waits for the
// first beat.
func (p *pulse) attend(ctx context.Context) {
	select {
	case <-p.start(ctx):
	case <-ctx.Done():
	}
}

// start has the pulse beat, and returns a channel that is closed when it has
// beaten.
func (p *pulse) start(ctx context.Context) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
	if p.users > 1 {
		return p.begun
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	begun := make(chan struct{})
	go func() {
		defer close(done)
		p.look(ctx)
		close(begun)
		for delay.For(ctx, p.config.round()) == nil {
			p.beat(ctx)
		}
	}()
	p.stop, p.begun = func() { cancel(); <-done }, begun
	return begun
}

func (p *pulse) leave() {
	p.mu.Lock()
	p.users--
	var stop func()
	if p.users == 0 {
		stop = p.stop
	}
	p.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// beat asks and passes on. What could not be found out stays as it was: lanes
// run on, and leases and fences guard what they write.
func (p *pulse) beat(ctx context.Context) {
	p.look(ctx)
	p.runner.retireDetached(ctx)
}

func (p *pulse) look(ctx context.Context) {
	if err := p.ask(ctx); err != nil && ctx.Err() == nil {
		p.config.Logger.Warn("registry could not be read", zap.Error(err))
	}
	for _, s := range p.runner.stewards {
		s.nudge()
	}
}

func (p *pulse) ask(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, p.config.LeaseTTL)
	defer cancel()
	if err := p.askHead(bounded); err != nil {
		return err
	}
	records, err := p.config.Progress.Registry().List(bounded, "")
	if err != nil {
		return err // typed by the registry.
	}
	p.mu.Lock()
	p.records = records
	p.mu.Unlock()
	for _, r := range records {
		if s := p.runner.stewardOf(r.Name); s != nil {
			s.saw(r)
		}
	}
	if !p.runner.hasLanes() {
		return nil
	}
	members, err := p.config.Progress.Leases().List(bounded, memberPrefix)
	if err != nil {
		return err // typed by the store.
	}
	holders, err := p.config.Progress.Leases().List(bounded, lanePrefix)
	if err != nil {
		return err // typed by the store.
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members, p.holders = members, holders
	return nil
}

// headRound is how often the store is asked for its head.
const headRound = 5 * time.Second

// askHead asks for the store's head now and then, for all projections at once:
// who waits for it may have been woken in vain, or not at all.
func (p *pulse) askHead(ctx context.Context) error {
	p.mu.Lock()
	soon := p.config.Now().Sub(p.asked) < headRound-p.config.round()/2
	p.mu.Unlock()
	if soon {
		return nil
	}
	head, err := p.runner.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	p.mu.Lock()
	p.head, p.asked = head, p.config.Now()
	p.mu.Unlock()
	for _, s := range p.runner.stewards {
		for _, w := range s.workers() {
			if w.board.position() < head {
				w.wake()
			}
		}
	}
	return nil
}

// isBehind reports whether there may be events above a position. While the pulse
// does not beat, nobody knows.
func (p *pulse) isBehind(position uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.users == 0 || p.head > position
}

// isSwitching reports whether another version is about to take the place of this
// one, which is live.
func (p *pulse) isSwitching(name registry.Name) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	live := slices.ContainsFunc(p.records, func(r registry.Record) bool { return r.Name == name && r.State == registry.Live })
	return live && slices.ContainsFunc(p.records, func(r registry.Record) bool {
		return r.Name.Projection == name.Projection && r.Name != name && r.Ordered() && r.Order.Kind == registry.Switch
	})
}

// all returns the records as last seen.
func (p *pulse) all() []registry.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.records
}

// spread returns how the lanes of a projection are spread over the processes
// that run it: in order of their members' names the first ones get one more
// where they do not divide evenly.
func (p *pulse) spread(name registry.Name, lanes int) spread {
	p.mu.Lock()
	defer p.mu.Unlock()
	me, of := 0, 0
	for _, m := range p.members {
		if !isMember(m, name) {
			continue
		}
		if m.Name == memberName(name, p.config.Owner) {
			me = of
		}
		of++
	}
	of = max(of, 1)
	s := spread{quota: lanes / of, first: me * lanes / of, holders: make(map[int]string)}
	if me < lanes%of {
		s.quota++
	}
	for lane := range lanes {
		want := leaseName(checkpoint.Key{Projection: name.Projection, Version: name.Version, Lane: lane})
		i, found := slices.BinarySearchFunc(p.holders, want, func(l lease.Lease, name string) int { return strings.Compare(l.Name, name) })
		if found && p.holders[i].Owner != p.config.Owner {
			s.holders[lane] = p.holders[i].Owner
		}
	}
	return s
}

// The names of leases. The prefixes keep them apart from other uses of the same
// store.
const (
	lanePrefix   = "projection/"
	memberPrefix = "member/"
)

// leaseName is what the lease of a lane is called.
func leaseName(key checkpoint.Key) string { return lanePrefix + key.String() }

// membersOf is how the names of the leases begin that show who runs a projection.
func membersOf(name registry.Name) string { return memberPrefix + name.String() + "/" }

// memberName is what the lease is called by which a process shows that it runs a
// projection. The owner's name may be as long as the lease's, so it is hashed.
func memberName(name registry.Name, owner string) string {
	hash := sha256.Sum256([]byte(owner))
	return membersOf(name) + hex.EncodeToString(hash[:memberHash])
}

// memberHash is how many bytes of the hash of an owner's name are used.
const memberHash = 8

// isMember reports whether a lease shows that a process runs a version. The name
// of one may be the beginning of another's.
func isMember(l lease.Lease, name registry.Name) bool {
	prefix := membersOf(name)
	return strings.HasPrefix(l.Name, prefix) && len(l.Name) == len(prefix)+2*memberHash
}

// membership shows others that this process runs a projection.
type membership struct {
	steward *steward
	lost    chan struct{} // holds something when the lease was lost
	leave   func()
}

// join begins a membership.
func (s *steward) join(ctx context.Context) (*membership, error) {
	asked := s.config.Now()
	l, err := s.config.Progress.Leases().Acquire(ctx, memberName(s.name, s.config.Owner), s.config.Owner, s.config.LeaseTTL)
	if err != nil {
		return nil, fmt.Errorf("acquire lease: %w", err)
	}
	m := &membership{steward: s, lost: make(chan struct{}, 1)}
	drop := s.runner.renewer.hold(ctx, l, asked, func(error) { m.lost <- struct{}{} })
	m.leave = func() {
		drop()
		s.workers()[0].release(ctx, l)
	}
	return m, nil
}

// again joins anew, as a process must that was frozen for longer than its lease.
func (m *membership) again(ctx context.Context) error {
	m.leave()
	fresh, err := m.steward.join(ctx)
	if err != nil {
		return err
	}
	*m = *fresh
	return nil
}
