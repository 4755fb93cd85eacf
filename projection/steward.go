package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/registry"
)

// steward looks after one version of a projection in this process: it reads
// what is decided about it, and runs those of its lanes that fall to this
// process.
type steward struct {
	runner     *Runner
	events     eventstore.Store
	config     Config
	projection Projection
	name       registry.Name
	log        *zap.Logger
	nudged     chan struct{} // holds something when there is reason to look round

	running sync.Mutex // held while the projection is run or reset
	debt    *debt      // what is to be ordered again; changed under running

	mu     sync.Mutex
	record registry.Record // as last seen; revision 0 if never
	all    []*worker       // of every lane that there ever was: each has one worker only
	lanes  []*worker       // those of all that count, at least one
}

func newSteward(r *Runner, p Projection) *steward {
	s := &steward{
		runner: r, events: r.events, config: r.config, projection: p,
		name:   registry.Name{Projection: p.Name(), Version: p.Version()},
		log:    r.config.Logger.With(zap.String("projection", p.Name()), zap.Int("version", p.Version())),
		nudged: make(chan struct{}, 1),
	}
	s.divide(registry.Record{Lanes: 1})
	return s
}

// nudge has the steward look round soon.
func (s *steward) nudge() {
	select {
	case s.nudged <- struct{}{}:
	default:
	}
}

// known returns the record as last seen.
func (s *steward) known() registry.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record
}

// saw takes note of a record, unless a newer one has been seen.
func (s *steward) saw(r registry.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Revision > s.record.Revision {
		s.record = r
	}
}

// divide makes sure of a worker for each lane of a record, or of a newer one that
// was seen meanwhile: lanes that run must not be told of an old number.
func (s *steward) divide(r registry.Record) []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	lanes := r.Lanes
	if s.record.Revision > r.Revision {
		lanes = s.record.Lanes
	}
	for lane := len(s.all); lane < lanes; lane++ {
		s.all = append(s.all, newWorker(s.runner, s.projection, lane))
	}
	s.lanes = s.all[:lanes:lanes]
	for _, w := range s.lanes {
		w.lanes.Store(int64(lanes))
	}
	return s.lanes
}

// workers returns those of the lanes as last seen.
func (s *steward) workers() []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lanes
}

// look reads the record and has a worker for each of its lanes.
func (s *steward) look(ctx context.Context) (registry.Record, []*worker, error) {
	r, err := s.config.Progress.Registry().Load(ctx, s.name)
	if errors.Is(err, registry.ErrNotFound) {
		r = registry.Record{Name: s.name, Lanes: lanesOf(s.projection)}
		return r, s.divide(r), nil
	}
	if err != nil {
		return r, nil, fmt.Errorf("read the registry: %w", err)
	}
	s.saw(r)
	return r, s.divide(r), nil
}

// lanesOf returns how many lanes a projection begins with.
func lanesOf(p Projection) int {
	if l, ok := p.(Laned); ok {
		return l.Lanes()
	}
	return 1
}

// run runs the projection until ctx ends or the goal is reached. Whatever goes
// wrong is retried.
func (s *steward) run(ctx context.Context, g goal) error {
	if !s.running.TryLock() {
		return fmt.Errorf("projection %q: %w", s.name.Projection, ErrRunning)
	}
	defer s.running.Unlock()
	defer s.showIdle(ctx)
	first := s.workers()[0]
	return first.persist(ctx, g, func() error {
		r, err := s.enroll(ctx)
		if err != nil {
			return err
		}
		if g.bounded {
			return s.reach(ctx, r, g)
		}
		return s.serve(ctx)
	})
}

// showIdle has the status say that nothing runs any more, unless it has failed.
func (s *steward) showIdle(ctx context.Context) {
	if ctx.Err() == nil {
		return
	}
	for _, w := range s.workers() {
		w.board.update(func(s *Status) { s.State = Idle })
	}
}

// enroll returns the record, which it makes if this is the first run: the
// version is live if no other one of the projection is.
func (s *steward) enroll(ctx context.Context) (registry.Record, error) {
	r, err := s.config.Progress.Registry().Load(ctx, s.name)
	if errors.Is(err, registry.ErrNotFound) {
		r, err = s.enter(ctx)
	}
	if errors.Is(err, registry.ErrChanged) || errors.Is(err, registry.ErrLive) { // another process was faster
		r, err = s.config.Progress.Registry().Load(ctx, s.name)
	}
	if err != nil {
		return r, fmt.Errorf("read the registry: %w", err)
	}
	if r, err = s.pay(ctx, r); err != nil {
		return r, err // the store's own.
	}
	s.saw(r)
	s.divide(r)
	return r, nil
}

// enter makes the record of a version that has never run.
func (s *steward) enter(ctx context.Context) (entered registry.Record, err error) {
	live, isLive, err := s.live(ctx)
	if err != nil {
		return entered, err
	}
	if isLive && live.Name.Version > s.name.Version {
		return entered, &OlderVersionError{Name: s.name, Live: live.Name.Version}
	}
	lanes, err := s.lanesAtFirst(ctx)
	if err != nil {
		return entered, err
	}
	r := registry.Record{Name: s.name, State: registry.Live, Since: s.config.Now(), Lanes: lanes}
	if isLive {
		r.State = registry.Building
		if _, ok := s.projection.(LiveOnly); ok {
			r.Lanes = live.Lanes // it goes on where the live version stands
		}
	}
	start, err := s.start(ctx, isLive)
	if err != nil {
		return entered, err
	}
	err = s.inTx(ctx, func(tx Tx) error {
		if entered, err = tx.Registry().Save(ctx, r); err != nil {
			return err // typed by the registry.
		}
		if err := s.startAt(ctx, tx, r.Lanes, start); err != nil {
			return err
		}
		if err := s.prepare(ctx, tx); err != nil || isLive {
			return err
		}
		return s.goLive(ctx, tx)
	})
	if err == nil {
		s.log.Info("projection runs for the first time", zap.String("state", string(r.State)), zap.Int("lanes", r.Lanes))
	}
	return entered, err
}

// start returns where a version begins: what has effects that cannot be taken
// back, where it says or where an older version was left, all else at the first
// event.
func (s *steward) start(ctx context.Context, isLive bool) (uint64, error) {
	l, ok := s.projection.(LiveOnly)
	if !ok || isLive { // it inherits from the live version when that is switched
		return 0, nil
	}
	list, err := s.config.Progress.Checkpoints().List(ctx, s.name.Projection)
	if err != nil {
		return 0, fmt.Errorf("list checkpoints: %w", err)
	}
	left := make(map[int]uint64) // where each version was left, by its lane furthest behind
	for _, c := range list {
		if at, seen := left[c.Key.Version]; !seen || c.Position < at {
			left[c.Key.Version] = c.Position
		}
	}
	if at := slices.Max(append(slices.Collect(maps.Values(left)), 0)); at > 0 || l.From() == StartAtFirst {
		return at, nil
	}
	head, err := s.events.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("head: %w", err)
	}
	return head, nil
}

// startAt puts the checkpoints of a version that has never run at a position.
func (s *steward) startAt(ctx context.Context, tx Tx, lanes int, position uint64) error {
	for _, key := range keysOf(s.name, lanes) {
		c, err := tx.Checkpoints().Load(ctx, key)
		if err != nil {
			return fmt.Errorf("load checkpoint: %w", err)
		}
		if c.Position >= position {
			continue
		}
		if err := tx.Checkpoints().Move(ctx, key, checkpoint.Move{From: c.Position, To: position, StoreID: s.events.ID(), Fence: c.Fence}); err != nil {
			return fmt.Errorf("place checkpoint: %w", err)
		}
	}
	return nil
}

// lanesAtFirst returns how many lanes a version begins with. One that has come
// somewhere without a record did so in a single lane.
func (s *steward) lanesAtFirst(ctx context.Context) (int, error) {
	c, err := s.config.Progress.Checkpoints().Load(ctx, keysOf(s.name, 1)[0])
	if err != nil {
		return 0, fmt.Errorf("load checkpoint: %w", err)
	}
	if c.Position > 0 {
		return 1, nil
	}
	return lanesOf(s.projection), nil
}

// live returns the version of the projection that is live, if it is another one.
func (s *steward) live(ctx context.Context) (registry.Record, bool, error) {
	all, err := s.config.Progress.Registry().List(ctx, s.name.Projection)
	if err != nil {
		return registry.Record{}, false, err // typed by the registry.
	}
	for _, r := range all {
		if r.State == registry.Live && r.Name != s.name {
			return r, true, nil
		}
	}
	return registry.Record{}, false, nil
}

// prepare builds what the projection needs before its first event.
func (s *steward) prepare(ctx context.Context, tx Tx) error {
	p, ok := s.projection.(Preparer)
	if !ok {
		return nil
	}
	return Recovered(func() error { return p.Prepare(ctx, tx) })
}

// goLive has readers see this version.
func (s *steward) goLive(ctx context.Context, tx Tx) error {
	p, ok := s.projection.(Fronted)
	if !ok {
		return nil
	}
	return Recovered(func() error { return p.GoLive(ctx, tx) })
}

func (s *steward) inTx(ctx context.Context, f func(tx Tx) error) error {
	return s.workers()[0].inTx(ctx, f)
}

// reach runs all lanes up to a goal. Orders are carried out first.
func (s *steward) reach(ctx context.Context, r registry.Record, g goal) error {
	for r.Ordered() {
		if err := s.carryOut(ctx); err != nil {
			return err
		}
		var err error
		if r, err = s.enroll(ctx); err != nil {
			return err
		}
	}
	if err := standing(r); err != nil {
		return err
	}
	if s.waitsForSwitch(r) {
		return nil
	}
	err := each(s.workers(), func(w *worker) error { return w.run(ctx, g) })
	if is[*outdatedError](err) {
		if r, err = s.enroll(ctx); err != nil {
			return err
		}
		return s.reach(ctx, r, g)
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	return s.finish(ctx, g.position)
}

// standing returns why a version does not run, or nil.
func standing(r registry.Record) error {
	if r.Paused() || r.State == registry.Replaced || r.State == registry.Retired {
		return &InactiveError{Record: r}
	}
	return nil
}

// waitsForSwitch reports whether the projection must not run before it is
// switched to: it has effects that the live version has, too.
func (s *steward) waitsForSwitch(r registry.Record) bool {
	_, ok := s.projection.(LiveOnly)
	return ok && r.State != registry.Live
}

// serve looks after the projection until ctx ends or one of its lanes stops for
// good.
func (s *steward) serve(ctx context.Context) error {
	member, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer func() { member.leave() }()
	s.runner.pulse.attend(ctx)
	defer s.runner.pulse.leave()
	crew := newCrew(s)
	defer crew.dismiss()
	for ctx.Err() == nil {
		if err := s.steer(ctx, crew); err != nil {
			return err
		}
		select {
		case <-s.nudged:
		case <-member.lost:
			if err := member.again(ctx); err != nil {
				return err
			}
		case err := <-crew.stopped:
			return err
		case <-ctx.Done():
		}
	}
	crew.dismiss()
	return crew.whyStopped()
}

// steer does what the record says.
func (s *steward) steer(ctx context.Context, crew *crew) error {
	r, err := s.pay(ctx, s.known())
	if err != nil {
		return err
	}
	switch {
	case r.Ordered():
		crew.dismiss()
		s.show(Waiting, nil)
		defer s.showAlive(ctx)()
		return s.carryOut(ctx)
	case s.runner.pulse.isSwitching(s.name):
		crew.dismiss()
		s.show(Waiting, nil)
	case standing(r) != nil:
		crew.dismiss()
		s.show(Paused, standing(r))
	case s.waitsForSwitch(r):
		crew.dismiss()
		s.show(Waiting, nil)
		return s.markCaughtUp(ctx, r)
	default:
		crew.man(ctx, s.divide(r), s.runner.pulse.spread(s.name, r.Lanes))
		return s.finishWhenCaughtUp(ctx, r, crew)
	}
	return nil
}

// show sets the state of all lanes, none of which runs.
func (s *steward) show(state State, why error) {
	for _, w := range s.workers() {
		w.board.update(func(s *Status) { s.State, s.LastError, s.Heartbeat = state, why, w.config.Now() })
	}
}

// each runs f for all workers at once and joins their errors.
func each[T any](all []T, f func(T) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() { errs[i] = f(one) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
