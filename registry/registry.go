// Package registry is the port for what is decided about projections: which
// version is live, in how many lanes each runs, whether somebody has paused it,
// and what somebody has asked for. How far they have come is a checkpoint's
// business (package checkpoint).
//
// A runner writes a record when it first runs a version of a projection. Whoever
// operates it changes the record, from any process; every runner of the version
// sees the change within a moment and does as it says.
//
// Package registrytest has one suite that every [Store] passes.
package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/event"
)

// Name names one version of a projection.
type Name struct {
	Projection string
	Version    int // from 1
}

// String returns "titles v1".
func (n Name) String() string { return fmt.Sprintf("%s v%d", n.Projection, n.Version) }

// State is where a version of a projection stands in its life. A version of
// which there is no record is new.
type State string

const (
	// Building replays the log beside the live version, which readers still see.
	Building State = "building"
	// CaughtUp has reached the head, follows it, and can be switched to.
	CaughtUp State = "caught up"
	// Live is what readers see. At most one version of a projection is.
	Live State = "live"
	// Replaced was live before another version was switched to. It does not run;
	// what it has built stays until it is retired.
	Replaced State = "replaced"
	// Retired has nothing left but its record.
	Retired State = "retired"
)

// Kind is what an order asks for.
type Kind string

const (
	// Rebuild empties the target, the checkpoints and the dead letters, and
	// replays all events.
	Rebuild Kind = "rebuild"
	// Rewind puts the checkpoints back to a position, so that what follows it is
	// applied again.
	Rewind Kind = "rewind"
	// ChangeLanes divides the projection into another number of lanes.
	ChangeLanes Kind = "change lanes"
	// Switch makes the version the live one.
	Switch Kind = "switch"
	// Retire drops what a version has built that is not live.
	Retire Kind = "retire"
)

// Pause says that somebody has paused a projection. The zero value says that
// nobody has.
type Pause struct {
	Reason string
	By     event.ActorID // "" if unknown
	At     time.Time
}

// Order is what somebody has asked for and what is not done yet, or was refused.
// The zero value is none.
type Order struct {
	Kind     Kind
	Lanes    int    // of ChangeLanes, else 0
	Position uint64 // of Rewind, else 0
	Reason   string
	By       event.ActorID // "" if unknown
	At       time.Time
	Problem  string // why it cannot be done: it was refused, and is not tried again
}

// Record is what is decided about one version of a projection.
type Record struct {
	Name      Name
	State     State
	Since     time.Time // when the state began
	Lanes     int       // from 1
	Finished  bool      // what is built last, such as secondary indexes, is there
	Pause     Pause
	Order     Order
	Revision  uint64    // grows by one with every change; 0 for a record that was never saved
	UpdatedAt time.Time // of the last change, by the store's clock
}

// Paused reports whether somebody has paused the projection.
func (r Record) Paused() bool { return !r.Pause.At.IsZero() }

// Ordered reports whether something is asked for that is neither done nor
// refused.
func (r Record) Ordered() bool { return r.Order.Kind != "" && r.Order.Problem == "" }

// Refused reports whether what was last asked for cannot be done; the order says
// why. It is not tried again, and another order may take its place.
func (r Record) Refused() bool { return r.Order.Kind != "" && r.Order.Problem != "" }

// Store keeps records.
//
// Every store makes these promises:
//
//  1. A record comes back as it was saved, times in UTC to the microsecond, with
//     the revision and the time of the change set by the store: the revision is
//     one more than before, from 1.
//  2. Compare-and-set. A save succeeds only if the record still has the revision
//     that it was loaded with, 0 if there is none; of racing saves exactly one
//     succeeds, the others are [ErrChanged] and change nothing.
//  3. Records that differ in name or version are independent; names that differ
//     by case or trailing space are different names.
//  4. At most one version of a projection is live: a save that would make a
//     second one is [ErrLive] and changes nothing. Another version can be made
//     live as soon as the live one was saved in another state, within the same
//     transaction, too.
//  5. Bound to a transaction, a save is visible to others only when that commits,
//     and is undone when it is rolled back. A save that is refused leaves the
//     transaction usable.
//  6. Bad input is refused with [event.ErrInvalid] before anything is stored; an
//     order's problem is cut at [MaxProblemBytes], at a character's edge.
//
// All methods are safe for concurrent use, except on a store that is bound to
// a transaction.
type Store interface {
	// Load returns a record. Errors: [ErrNotFound], [event.ErrInvalid] for a bad
	// name.
	Load(ctx context.Context, name Name) (Record, error)
	// Save creates or replaces a record and returns it as it is stored. What it
	// is given in UpdatedAt does not count. Errors: [ErrChanged], [ErrLive],
	// [event.ErrInvalid]. Who is told both that the record was changed and that
	// another version is live is told the former.
	Save(ctx context.Context, r Record) (Record, error)
	// List returns the records of a projection, or of all if projection is "",
	// ordered by name and version.
	List(ctx context.Context, projection string) ([]Record, error)
}

// Sentinels for errors.Is.
var (
	// ErrNotFound says that there is no record of that name: no runner has run
	// that version.
	ErrNotFound = errors.New("no such version of a projection")
	// ErrChanged says that somebody else has changed the record since it was
	// loaded: load it again and decide anew.
	ErrChanged = errors.New("record was changed by somebody else")
	// ErrLive says that another version of the projection is live.
	ErrLive = errors.New("another version of the projection is live")
)

// ChangedError says which revision was expected and which is there.
type ChangedError struct {
	Name Name
	Have uint64 // what is stored; 0 if there is no record
	Want uint64 // what the saver had loaded
}

// Error implements error.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("record of projection %s has revision %d, not %d: load it again", e.Name, e.Have, e.Want)
}

// Is reports whether target is [ErrChanged].
func (e *ChangedError) Is(target error) bool { return target == ErrChanged }

// LiveError says which version is live.
type LiveError struct {
	Name Name // of the record that was not saved
	Live int  // the version that is live; 0 if it was a moment ago and is not any more
}

// Error implements error.
func (e *LiveError) Error() string {
	if e.Live == 0 {
		return fmt.Sprintf("projection %s cannot be live: another version comes and goes, try again", e.Name)
	}
	return fmt.Sprintf("projection %s cannot be live: version %d is", e.Name, e.Live)
}

// Is reports whether target is [ErrLive].
func (e *LiveError) Is(target error) bool { return target == ErrLive }
