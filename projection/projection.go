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
