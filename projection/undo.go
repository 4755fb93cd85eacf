package projection

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/evident-go/evident/registry"
)

// undoing is how something that was built is taken back.
type undoing struct {
	back    func(tx Tx) error // puts checkpoints and letters back
	effects func(tx Tx) error // takes back what handlers did; tx is nil for a target outside
	repeat  registry.Order    // what to order if it was done too late, see debt
}

// emptying takes everything back that a version has built.
func (s *steward) emptying(ctx context.Context, r registry.Record) undoing {
	return undoing{
		back:    func(tx Tx) error { return clearProgress(ctx, tx, r.Name, r.Lanes) },
		effects: func(tx Tx) error { return Recovered(func() error { return s.projection.Reset(ctx, tx) }) },
		repeat:  registry.Order{Kind: registry.Rebuild},
	}
}

// undo takes back what was built, and settles. In the store's database that is
// one transaction. Of a target outside of it the checkpoints go first: if that is
// all that happens, events are applied again, and none is missed.
func (s *steward) undo(ctx context.Context, z *seizure, u undoing, settled func(tx Tx) error) error {
	var err error
	if s.projection.Guarantee() == ExactlyOnce {
		err = s.inOwnTx(ctx, z, func(tx Tx) error { return inTurn(tx, u.back, u.effects, settled) })
	} else {
		err = s.undoOutside(ctx, z, u, settled)
	}
	s.forget(err)
	return err
}

// inTurn calls functions one after the other, as long as they succeed.
func inTurn(tx Tx, all ...func(tx Tx) error) error {
	for _, f := range all {
		if err := f(tx); err != nil {
			return err
		}
	}
	return nil
}

// undoOutside is undo for a target outside of the store's database.
func (s *steward) undoOutside(ctx context.Context, z *seizure, u undoing, settled func(tx Tx) error) error {
	if err := s.inOwnTx(ctx, z, u.back); err != nil {
		return err
	}
	s.debt = &debt{leases: z, order: u.repeat}
	err := u.effects(nil)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = s.inOwnTx(ctx, z, settled)
	}
	if err == nil {
		s.debt = nil
		return nil
	}
	s.payAtOnce(ctx)
	return err
}

// debt is what this process owes a target outside of the store's database: it has
// begun to undo effects there and does not know whether it was in time. If
// somebody else has taken over since, and has perhaps built them again by then,
// they are undone and built once more.
type debt struct {
	leases *seizure // under which it began
	order  registry.Order
}

// payAtOnce pays a debt before anything else is done, even at the end of ctx. If
// the store cannot be asked, the next enrolment pays.
func (s *steward) payAtOnce(ctx context.Context) {
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.LeaseTTL)
	defer cancel()
	if _, err := s.enroll(brief); err != nil {
		s.log.Warn("what was perhaps undone too late is not ordered again yet", zap.String("order", string(s.debt.order.Kind)), zap.Error(err))
	}
}

// pay orders again what was undone too late, and returns the record with the
// order. While another order stands it waits for its turn.
func (s *steward) pay(ctx context.Context, r registry.Record) (registry.Record, error) {
	for s.debt != nil {
		owes, err := s.owes(ctx, r)
		if err != nil || owes && r.Ordered() {
			return r, err
		}
		if !owes {
			s.debt = nil
			break
		}
		ordered, err := s.orderAgain(ctx, r, s.debt.order)
		if errors.Is(err, registry.ErrChanged) { // somebody was faster, and may have ordered it, too
			ordered, err = s.config.Progress.Registry().Load(ctx, s.name)
		}
		if err != nil {
			return r, err // typed by the registry.
		}
		r = ordered // by which the debt is paid, if it is
	}
	return r, nil
}

// owes reports whether a debt is still to be paid: somebody else has taken over,
// and nothing that is ordered will make it good.
func (s *steward) owes(ctx context.Context, r registry.Record) (bool, error) {
	owed := s.debt.order
	switch {
	case r.Ordered() && (r.Order.Kind == registry.Rebuild || r.Order.Kind == owed.Kind && r.Order.Position <= owed.Position),
		r.State == registry.Replaced, r.State == registry.Retired:
		return false, nil
	default:
		return s.isTaken(ctx, s.debt.leases)
	}
}

// isTaken reports whether somebody has claimed a lane since it was seized.
func (s *steward) isTaken(ctx context.Context, z *seizure) (bool, error) {
	for _, key := range z.keys {
		c, err := s.config.Progress.Checkpoints().Load(ctx, key)
		if err != nil {
			return false, err // typed by the store.
		}
		if c.Fence > z.lease(key).Fence {
			return true, nil
		}
	}
	return false, nil
}

// orderAgain gives a record, which has no order, the one that is owed.
func (s *steward) orderAgain(ctx context.Context, r registry.Record, owed registry.Order) (registry.Record, error) {
	owed.Reason = "effects were undone by a process that had lost its lease, perhaps after another had built them again"
	owed.By, owed.At = runnerActor, s.config.Now()
	r.Order = owed
	saved, err := s.config.Progress.Registry().Save(ctx, r)
	if err != nil {
		return r, err // typed by the registry.
	}
	s.saw(saved)
	s.log.Warn("undone too late, and ordered again", zap.String("order", string(owed.Kind)), zap.Uint64("position", owed.Position))
	return saved, nil
}
