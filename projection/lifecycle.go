package projection

import "context"

// Laned is implemented by projections that run in several lanes: streams, or
// whatever a [Sequencer] orders by, are divided among them, so that order is
// kept within each and several events are applied at once.
type Laned interface {
	// Lanes returns how many lanes the projection begins with, from 1 to [Slots].
	// Once it has run, the stored number counts.
	Lanes() int
}

// Finisher is implemented by projections that build something when they have
// caught up for the first time, and not before: secondary indexes, which would
// slow the replay down.
type Finisher interface {
	// Finish is called once, in a transaction, when the projection has caught up;
	// again after a reset.
	Finish(ctx context.Context, tx Tx) error
}

// Fronted is implemented by projections whose readers do not see the target
// itself but something in front of it, such as a view, that can be put before
// another version's target in an instant.
type Fronted interface {
	// GoLive puts the front before this version's target. It is called in the
	// transaction in which the version becomes the live one.
	GoLive(ctx context.Context, tx Tx) error
}

// Rewinder is implemented by projections that can undo what they have built
// from the events above a position. One with [ExactlyOnce] that is not a
// Rewinder can be rebuilt, but not rewound: what it had applied would take
// effect twice.
type Rewinder interface {
	// CanRewind returns why it cannot, or nil.
	CanRewind() error
	// Rewind undoes the effects of all events above position, in the transaction
	// that also puts the checkpoints back; with [AtLeastOnce], tx is nil.
	Rewind(ctx context.Context, tx Tx, position uint64) error
}

// TargetDropper is implemented by stores that know which version of a
// projection has made which tables, and can drop them without the
// projection's code. It is a method of a [Tx].
type TargetDropper interface {
	// DropTargets drops all tables of a version, if there are any.
	DropTargets(ctx context.Context, projection string, version int) error
}
