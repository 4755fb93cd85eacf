package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/delay"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/registry"
)

// orderly is who holds leases to carry out an order to a version: not the runner
// by its own name, whose lanes they would let in, nor one for another version.
func (s *steward) orderly(name registry.Name) string {
	return fmt.Sprintf("%s (order to %d)", s.config.Owner, name.Version)
}

// carryOut carries out the order that the registry has for the projection, if
// this process gets the leases of all lanes that it is about. Another process
// may be faster; then there is nothing left to do. An order that cannot be
// carried out is refused: the reason is written down and lanes go on. Any other
// error is worth trying again.
func (s *steward) carryOut(ctx context.Context) error {
	owned, held, err := s.seizeFor(ctx)
	if err != nil || held == nil {
		return err
	}
	defer held.release()
	r, _, err := s.look(owned)
	if err != nil || !r.Ordered() {
		return err
	}
	keys, err := s.concerned(owned, r)
	if err != nil {
		return err
	}
	if err := s.fence(owned, s.config.Progress.Checkpoints(), held, keys); is[*outdatedError](err) {
		s.nudge() // it is looked at anew
		return nil
	} else if err != nil {
		return err
	}
	_, end := s.config.begin(owned, Step{
		Kind: OrderStep, Projection: s.name.Projection, Version: s.name.Version, Owner: s.config.Owner, Detail: string(r.Order.Kind),
	})
	err = s.execute(owned, held, r)
	end(StepEnd{Err: err, Class: s.workers()[0].classOf(err)})
	if lost := context.Cause(owned); err != nil && lost != nil {
		return lost
	}
	if errors.Is(err, registry.ErrChanged) {
		_, err = s.enroll(ctx) // somebody has decided something else meanwhile: it is looked at anew
		return err
	}
	if err != nil && s.isRefusal(err) {
		return s.refuseOrder(owned, r, err)
	}
	if err != nil {
		return err // typed by whoever failed.
	}
	s.log.Info("order carried out", zap.String("order", string(r.Order.Kind)), zap.String("actor_id", string(r.Order.By)), zap.String("reason", r.Order.Reason))
	_, _, err = s.look(ctx)
	return err
}

// isRefusal reports whether trying an order again cannot help.
func (s *steward) isRefusal(err error) bool {
	if is[*endedError](err) {
		return true // a lane could not be brought to where it had to be
	}
	class := s.workers()[0].classify(err)
	return final(err, false, goal{}) && !errors.Is(err, ErrStopped) || class == Poison || class == Bug || errors.Is(err, ErrInactive) || errors.Is(err, ErrLiveOnly)
}

// refuseOrder writes down why an order was not carried out.
func (s *steward) refuseOrder(ctx context.Context, r registry.Record, cause error) error {
	r.Order.Problem = causeOf(cause)
	saved, err := s.config.Progress.Registry().Save(ctx, r)
	if err != nil {
		return fmt.Errorf("refuse order: %w", err)
	}
	s.saw(saved)
	s.log.Error("order refused", zap.String("order", string(r.Order.Kind)), zap.Error(cause))
	return nil
}

// seizure is a set of leases that an order, or a command, is carried out under.
type seizure struct {
	keys    []checkpoint.Key // of the lanes
	leases  map[string]lease.Lease
	release func()
}

func (z *seizure) lease(key checkpoint.Key) lease.Lease { return z.leases[leaseName(key)] }

// seizeFor waits for the leases of all lanes that the order is about. It returns
// nil if there is no order any more.
func (s *steward) seizeFor(ctx context.Context) (context.Context, *seizure, error) {
	for {
		r, _, err := s.look(ctx)
		if err != nil || !r.Ordered() {
			return nil, nil, err
		}
		keys, err := s.concerned(ctx, r)
		if err != nil {
			return nil, nil, err
		}
		owned, held, err := s.seize(ctx, s.orderly(s.name), keys)
		if err == nil {
			return owned, held, nil
		}
		if !errors.Is(err, lease.ErrHeld) {
			return nil, nil, err
		}
		if err := delay.For(ctx, s.config.round()); err != nil {
			return nil, nil, err
		}
	}
}

// concerned returns the lanes that an order is about.
func (s *steward) concerned(ctx context.Context, r registry.Record) ([]checkpoint.Key, error) {
	keys := keysOf(r.Name, max(r.Lanes, r.Order.Lanes))
	if r.Order.Kind != registry.Switch {
		return keys, nil
	}
	live, found, err := s.live(ctx)
	if err != nil || !found {
		return keys, err
	}
	return append(keys, keysOf(live.Name, live.Lanes)...), nil
}

// fence moves checkpoints to where they stand: from then on whoever owned the
// lanes before, and perhaps sleeps in the midst of a batch, can move them no more.
func (s *steward) fence(ctx context.Context, checkpoints checkpoint.Store, z *seizure, keys []checkpoint.Key) error {
	for _, key := range keys {
		l := z.lease(key)
		if l.Fence == 0 {
			return &outdatedError{name: s.name} // something else was decided meanwhile
		}
		c, err := checkpoints.Load(ctx, key)
		if err != nil {
			return fmt.Errorf("load checkpoint: %w", err)
		}
		id := c.StoreID // also a foreign one: a rebuild is the cure
		if id == uuid.Nil {
			id = s.events.ID()
		}
		if err := checkpoints.Move(ctx, key, checkpoint.Move{From: c.Position, To: c.Position, StoreID: id, Fence: l.Fence}); err != nil {
			return fmt.Errorf("claim checkpoint: %w", err)
		}
	}
	return nil
}

// inOwnTx runs f in a transaction that proves that nobody has taken over any of the
// lanes since they were seized.
func (s *steward) inOwnTx(ctx context.Context, z *seizure, f func(tx Tx) error) error {
	return s.inTx(ctx, func(tx Tx) error {
		if err := s.fence(ctx, tx.Checkpoints(), z, z.keys); err != nil {
			return err
		}
		return f(tx)
	})
}

// keysOf returns the keys of the checkpoints of all lanes.
func keysOf(name registry.Name, lanes int) []checkpoint.Key {
	keys := make([]checkpoint.Key, lanes)
	for lane := range keys {
		keys[lane] = checkpoint.Key{Projection: name.Projection, Version: name.Version, Lane: lane}
	}
	return keys
}

// seize takes the leases of lanes, all or none, without waiting. What it returns
// must be released. The context ends when one is lost.
func (s *steward) seize(ctx context.Context, owner string, keys []checkpoint.Key) (context.Context, *seizure, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	z := &seizure{keys: keys, leases: make(map[string]lease.Lease, len(keys))}
	var drops []func()
	z.release = func() {
		for _, drop := range drops {
			drop()
		}
		cancel(nil)
		for _, l := range z.leases {
			s.workers()[0].release(ctx, l)
		}
	}
	for _, key := range keys {
		asked := s.config.Now()
		l, err := s.config.Progress.Leases().Acquire(ctx, leaseName(key), owner, s.config.LeaseTTL)
		if err != nil {
			z.release()
			return nil, nil, fmt.Errorf("projection %q: %w", s.name.Projection, err)
		}
		z.leases[l.Name] = l
		drops = append(drops, s.runner.renewer.hold(ctx, l, asked, cancel))
	}
	return ctx, z, nil
}

// execute carries out an order under the leases of all lanes.
func (s *steward) execute(ctx context.Context, z *seizure, r registry.Record) error {
	switch r.Order.Kind {
	case registry.Rebuild:
		return s.empty(ctx, z, r)
	case registry.Rewind:
		return s.rewind(ctx, z, r)
	case registry.ChangeLanes:
		return s.changeLanes(ctx, z, r)
	case registry.Switch:
		return s.switchOver(ctx, z, r)
	case registry.Retire:
		return s.retire(ctx, z, r)
	default:
		return s.refuse(fmt.Sprintf("order %q is not known to this program: run a newer one", r.Order.Kind))
	}
}

func (s *steward) refuse(reason string) error {
	return &event.DefinitionError{Subject: s.name.Projection, Reason: reason}
}

// settle saves a record whose order is done, in the transaction that did it. The
// steward sees it when that is committed, with the next look.
func settle(ctx context.Context, tx Tx, r registry.Record) error {
	r.Order = registry.Order{}
	_, err := tx.Registry().Save(ctx, r)
	return err // typed by the registry.
}

// turn gives a record another state.
func (s *steward) turn(r registry.Record, state registry.State) registry.Record {
	if r.State != state {
		r.State, r.Since = state, s.config.Now()
	}
	return r
}

// empty removes everything that the projection has built, so that it is built
// anew.
func (s *steward) empty(ctx context.Context, z *seizure, r registry.Record) error {
	if c, ok := s.projection.(ResetChecker); ok {
		if err := c.CanReset(); err != nil {
			return err // says what to do.
		}
	}
	r.Finished = false
	if r.State != registry.Live {
		r = s.turn(r, registry.Building)
	}
	return s.undo(ctx, z, s.emptying(ctx, r), func(tx Tx) error { return settle(ctx, tx, r) })
}

// forget starts the status of all lanes anew, unless err says that nothing has
// changed.
func (s *steward) forget(err error) {
	if err != nil {
		return
	}
	for _, w := range s.workers() {
		w.attempt, w.inARow = attempt{}, 0
		w.board.update(func(s *Status) { s.Position, s.Applied, s.LastError, s.ErrorAt = 0, 0, nil, 0 })
	}
}

// clearProgress resets the checkpoints of all lanes and takes out the letters.
func clearProgress(ctx context.Context, tx Tx, name registry.Name, lanes int) error {
	for _, key := range keysOf(name, lanes) {
		if err := tx.Checkpoints().Reset(ctx, key); err != nil {
			return err // typed by the store.
		}
	}
	return tx.DeadLetters().Clear(ctx, name.Projection, name.Version) // typed by the store.
}

// place puts the checkpoint of a lane at a position, wherever it stands.
func (s *steward) place(ctx context.Context, tx Tx, z *seizure, key checkpoint.Key, position uint64) error {
	if err := tx.Checkpoints().Reset(ctx, key); err != nil {
		return err // typed by the store.
	}
	return tx.Checkpoints().Move(ctx, key, checkpoint.Move{To: position, StoreID: s.events.ID(), Fence: z.lease(key).Fence})
}

// positions returns where the lanes of a version stand.
func (s *steward) positions(ctx context.Context, name registry.Name, lanes int) ([]uint64, error) {
	positions := make([]uint64, lanes)
	for lane, key := range keysOf(name, lanes) {
		c, err := s.config.Progress.Checkpoints().Load(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("load checkpoint: %w", err)
		}
		positions[lane] = c.Position
	}
	return positions, nil
}

// bring runs the lanes that stand below a position up to it, under the leases
// that are held.
func (s *steward) bring(ctx context.Context, z *seizure, r registry.Record, to uint64) error {
	workers := s.divide(r)
	if r.Paused() {
		return s.requireAt(ctx, r, to)
	}
	return each(workers, func(w *worker) error { return w.bring(ctx, z.lease(w.key), to) })
}

// requireAt refuses an order for which a paused version would have to apply
// events.
func (s *steward) requireAt(ctx context.Context, r registry.Record, to uint64) error {
	positions, err := s.positions(ctx, r.Name, r.Lanes)
	if err != nil || slices.Min(positions) >= to {
		return err
	}
	return standing(r)
}

// rewind puts the lanes back to a position.
func (s *steward) rewind(ctx context.Context, z *seizure, r registry.Record) error {
	p, ok := s.projection.(Rewinder)
	if !ok {
		return s.refuse("projection cannot be rewound: it does not say how to undo what it has built (projection.Rewinder)")
	}
	if err := p.CanRewind(); err != nil {
		return err // says what to do.
	}
	before, err := s.positions(ctx, r.Name, r.Lanes)
	if err != nil {
		return err
	}
	cut := undoing{
		back:    func(tx Tx) error { return s.putBack(ctx, tx, z, r, before) },
		effects: func(tx Tx) error { return Recovered(func() error { return p.Rewind(ctx, tx, r.Order.Position) }) },
		repeat:  registry.Order{Kind: registry.Rewind, Position: r.Order.Position},
	}
	return s.undo(ctx, z, cut, func(tx Tx) error { return settle(ctx, tx, r) })
}

// putBack puts the lanes that stand above the order's position back to it.
func (s *steward) putBack(ctx context.Context, tx Tx, z *seizure, r registry.Record, before []uint64) error {
	for lane, key := range keysOf(r.Name, r.Lanes) {
		if before[lane] <= r.Order.Position {
			continue
		}
		if err := s.place(ctx, tx, z, key, r.Order.Position); err != nil {
			return err
		}
	}
	return s.unparkAbove(ctx, tx, r.Order.Position)
}

// unparkAbove takes out the letters of sequences that parked above a position:
// their events come again. Those of a sequence that parked before stay.
func (s *steward) unparkAbove(ctx context.Context, tx Tx, position uint64) error {
	letters := tx.DeadLetters()
	parked, err := letters.Sequences(ctx, dlqFilterOf(s.name))
	if err != nil {
		return err // typed by the store.
	}
	for _, p := range parked {
		if p.First.Position <= position {
			continue
		}
		all, err := letters.Letters(ctx, p.Sequence, 0)
		if err != nil {
			return err // typed by the store.
		}
		for _, l := range all {
			if err := letters.Remove(ctx, l); err != nil {
				return err // typed by the store.
			}
		}
	}
	return nil
}

// changeLanes brings all lanes to one position, and divides the projection anew
// there: so no event is passed over and none comes twice.
func (s *steward) changeLanes(ctx context.Context, z *seizure, r registry.Record) error {
	positions, err := s.positions(ctx, r.Name, r.Lanes)
	if err != nil {
		return err
	}
	at := slices.Max(positions)
	if err := s.bring(ctx, z, r, at); err != nil {
		return err
	}
	was, lanes := r.Lanes, r.Order.Lanes
	r.Lanes = lanes
	return s.inOwnTx(ctx, z, func(tx Tx) error {
		for lane, key := range keysOf(r.Name, max(was, lanes)) {
			if lane >= lanes {
				if err := tx.Checkpoints().Reset(ctx, key); err != nil {
					return err // typed by the store.
				}
				continue
			}
			if err := s.place(ctx, tx, z, key, at); err != nil {
				return err
			}
		}
		return settle(ctx, tx, r)
	})
}

// switchOver brings the version to where the live one stands, and has it take
// its place in one transaction.
func (s *steward) switchOver(ctx context.Context, z *seizure, r registry.Record) error {
	if r.State == registry.Live {
		return s.inOwnTx(ctx, z, func(tx Tx) error { return settle(ctx, tx, r) })
	}
	live, found, err := s.live(ctx)
	if err != nil {
		return err
	}
	var stands []uint64
	if found {
		if stands, err = s.positions(ctx, live.Name, live.Lanes); err != nil {
			return err
		}
	}
	if err := s.overtake(ctx, z, r, stands); err != nil {
		return err
	}
	if found && s.waitsForSwitch(r) {
		if err := s.requireNoLetters(ctx, live.Name); err != nil {
			return err
		}
	}
	return s.inOwnTx(ctx, z, func(tx Tx) error {
		if err := s.inherit(ctx, tx, z, r, stands); err != nil {
			return err
		}
		if found {
			live.Order = registry.Order{}
			if _, err := tx.Registry().Save(ctx, s.turn(live, registry.Replaced)); err != nil {
				return err // typed by the registry.
			}
		}
		if err := s.goLive(ctx, tx); err != nil {
			return err
		}
		return settle(ctx, tx, s.turn(r, registry.Live))
	})
}

// overtake has the version come at least to where the live one stands, so that
// no reader sees anything older than before. What reacts does not run yet.
func (s *steward) overtake(ctx context.Context, z *seizure, r registry.Record, stands []uint64) error {
	if s.waitsForSwitch(r) {
		if len(stands) > 0 && len(stands) != r.Lanes {
			return s.refuse(fmt.Sprintf("has %d lanes, and the version that it takes the place of %d: change one of them first, since it goes on where that one stands", r.Lanes, len(stands)))
		}
		return nil
	}
	if len(stands) == 0 {
		return nil
	}
	return s.bring(ctx, z, r, slices.Max(stands))
}

// requireNoLetters refuses to leave letters behind that nobody would try again: a
// version that reacts begins where the one before it stands.
func (s *steward) requireNoLetters(ctx context.Context, live registry.Name) error {
	stats, err := s.config.Progress.DeadLetters().Stats(ctx, live.Projection, live.Version)
	if err != nil {
		return fmt.Errorf("count letters: %w", err)
	}
	if stats.Letters > 0 {
		return s.refuse(fmt.Sprintf("would leave %d dead letters of version %d behind: retry or discard them first", stats.Letters, live.Version))
	}
	return nil
}

// inherit has a version that reacts go on where the one before it stands: what
// that has done is not done again.
func (s *steward) inherit(ctx context.Context, tx Tx, z *seizure, r registry.Record, stands []uint64) error {
	if !s.waitsForSwitch(r) {
		return nil
	}
	for lane, position := range stands {
		key := checkpoint.Key{Projection: r.Name.Projection, Version: r.Name.Version, Lane: lane}
		if err := s.place(ctx, tx, z, key, position); err != nil {
			return err
		}
	}
	return nil
}

// retire drops what the version has built.
func (s *steward) retire(ctx context.Context, z *seizure, r registry.Record) error {
	if r.State == registry.Live {
		return s.refuse("is live and cannot be retired: switch to another version first")
	}
	settled := func(tx Tx) error { return drop(ctx, tx, s.turn(r, registry.Retired)) }
	if c, ok := s.projection.(ResetChecker); !ok || s.projection.Guarantee() == ExactlyOnce || c.CanReset() != nil {
		err := s.inOwnTx(ctx, z, settled)
		s.forget(err)
		return err
	}
	return s.undo(ctx, z, s.emptying(ctx, r), settled)
}

// drop removes everything of a version but its record.
func drop(ctx context.Context, tx Tx, r registry.Record) error {
	if d, ok := TxAs[TargetDropper](tx); ok {
		if err := d.DropTargets(ctx, r.Name.Projection, r.Name.Version); err != nil {
			return fmt.Errorf("drop tables: %w", err)
		}
	}
	if err := clearProgress(ctx, tx, r.Name, r.Lanes); err != nil {
		return err
	}
	r.Pause, r.Finished = registry.Pause{}, false
	return settle(ctx, tx, r)
}
