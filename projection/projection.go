package projection

import (
	"context"
	"strings"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Projection turns events into something else: rows, an index, a message.
//
// Most are made by [New], or by an adapter's NewProjection, such as
// sqlite.NewProjection, whose handlers get the transaction that also moves the
// checkpoint.
type Projection interface {
	// Name is the projection's name, unique among those of a store.
	Name() string
	// Version is the version of the projection's code and tables, from 1.
	Version() int
	// EventTypes returns the types of event that the projection wants, older
	// names included; nil means all of them.
	EventTypes() []string
	// Guarantee says how often an event takes effect.
	Guarantee() Guarantee
	// Apply applies one event. With [ExactlyOnce], tx is the transaction that
	// also moves the checkpoint; with [AtLeastOnce] it is nil. Whatever Apply
	// does outside of tx may happen again.
	Apply(ctx context.Context, tx Tx, e event.Event) error
	// Reset removes everything that the projection has built. With
	// [ExactlyOnce], tx is the transaction that also resets the checkpoint.
	Reset(ctx context.Context, tx Tx) error
}

// Guarantee says how often an event takes effect in a projection.
type Guarantee uint8

const (
	// AtLeastOnce is for targets outside the store's database: after a crash the
	// last batch may be applied again. The event's position, under the store's
	// id, is the key by which a target can tell.
	AtLeastOnce Guarantee = iota
	// ExactlyOnce is for targets in the store's database: effects and checkpoint
	// commit in one transaction.
	ExactlyOnce
)

// String returns "at least once" or "exactly once".
func (g Guarantee) String() string {
	if g == ExactlyOnce {
		return "exactly once"
	}
	return "at least once"
}

// Batcher is implemented by projections that take whole batches of events, for
// targets where writing many rows at once is much cheaper than one by one. A
// runner calls ApplyBatch instead of Apply:
//
//  1. It is given the events of one batch, at least one and at most
//     [Config.BatchSize], in the order of their positions and without those
//     whose sequence is parked. The slice is the runner's: it must not be
//     changed, nor kept when ApplyBatch has returned.
//  2. All or nothing. With [ExactlyOnce], tx is the transaction that also moves
//     the checkpoint, and an error rolls everything back. With [AtLeastOnce], tx
//     is nil, and what had taken effect before the error stays.
//  3. If the error is, or may be, the fault of an event, the same events come
//     again one by one, each as a batch of one under a savepoint, so that only
//     the one at fault is blamed. Any other error, such as a database that is
//     down, pauses the projection, and the same events come again together.
//  4. Batches are not stable: after a failure or a crash the same events may
//     come cut into other batches, and with [AtLeastOnce] again though they
//     took effect. A target outside of the store's database has to tell each
//     event by its position, not a batch by its first.
//  5. A call is not cut off by [Config.BatchTime], which bounds how long events
//     are collected. One that takes longer keeps the transaction open for so
//     long; a smaller BatchSize helps.
//  6. A letter that is tried again comes as a batch of one.
type Batcher interface {
	// Batches reports whether the projection takes batches. It must not change;
	// a runner asks once. If it is false, ApplyBatch is not called.
	Batches() bool
	// ApplyBatch applies events.
	ApplyBatch(ctx context.Context, tx Tx, events []event.Event) error
}

// Preparer is implemented by projections that need something built before
// their first event, such as tables. It must be safe to call when it is there.
type Preparer interface {
	Prepare(ctx context.Context, tx Tx) error
}

// Validator is implemented by projections that can be put together wrongly.
// [NewRunner] refuses one whose Validate returns an error.
type Validator interface {
	Validate() error
}

// ResetChecker is implemented by projections that may be unable to reset. It
// is asked before anything is changed.
type ResetChecker interface {
	CanReset() error
}

// Sequencer is implemented by projections that need order by something other
// than the aggregate: the key under which events park behind one that failed.
// It must be valid UTF-8 without NUL and at most [MaxSequenceKeyBytes].
type Sequencer interface {
	SequenceKey(e event.Event) string
}

// MaxSequenceKeyBytes bounds what a [Sequencer] returns.
const MaxSequenceKeyBytes = dlq.MaxKeyBytes

// DefaultSequenceKey is the event's stream: order is kept for each aggregate.
// Slashes in names are escaped, so that no two streams have one key.
func DefaultSequenceKey(e event.Event) string {
	s := eventstore.StreamOf(e)
	if strings.ContainsAny(s.AggregateType, "%/") || strings.ContainsAny(string(s.TenantID), "%/") {
		escape := strings.NewReplacer("%", "%25", "/", "%2F")
		s.AggregateType = escape.Replace(s.AggregateType)
		s.TenantID = event.TenantID(escape.Replace(string(s.TenantID)))
	}
	return s.String()
}
