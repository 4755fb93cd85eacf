package projection

import (
	"slices"
	"sync"
	"time"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/registry"
)

// State is what a projection is doing.
type State uint8

const (
	// Idle has not been started by this runner, or has been stopped cleanly.
	Idle State = iota
	// Waiting would run, but another process holds its lease.
	Waiting
	// CatchingUp is behind the store's head.
	CatchingUp
	// Live has reached the head and follows it.
	Live
	// Paused waits for something to come back; LastError says what.
	Paused
	// Failed has stopped for good; LastError says why.
	Failed
)

// String returns the state in words.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting for its lease"
	case CatchingUp:
		return "catching up"
	case Live:
		return "live"
	case Paused:
		return "paused"
	case Failed:
		return "failed"
	default:
		return "idle"
	}
}

// Status is what is known of a projection at one moment. That of a projection
// in several lanes is about all of them: the position of the one furthest
// behind, the state of the one worst off.
type Status struct {
	Projection string
	Version    int
	Lane       int
	Guarantee  Guarantee
	State      State          // what this runner is doing
	Stage      registry.State // where the version stands in its life; "" if it is new
	Finished   bool           // whether it has caught up at least once
	Pause      registry.Pause // by whom it is paused
	Order      registry.Order // what is asked for and not done yet
	Lanes      []Status       // of each lane, if there are several

	Position uint64        // everything up to here is done
	Head     uint64        // the store's; positions between may be of events that the projection does not want
	Applied  uint64        // events applied by this runner since it was started
	Rate     float64       // positions a second since the start; 0 if unknown
	Left     time.Duration // estimate until Position reaches Head; 0 if unknown
	Behind   time.Duration // age of the oldest event that is not done; 0 at the head

	DeadLetters dlq.Stats
	LastError   error     // nil once the projection moves on
	ErrorAt     uint64    // position of the event that LastError is about; 0 if about none
	Heartbeat   time.Time // when the loop last went round, whether or not there was work
	Progressed  time.Time // when the checkpoint last moved in this runner
	Owner       string    // of the lease; "" if unknown
	Fence       uint64
}

// Lag returns how many positions the projection is behind the head.
func (s Status) Lag() uint64 {
	if s.Position >= s.Head {
		return 0
	}
	return s.Head - s.Position
}

// Done returns the share of the log that is done, from 0 to 1.
func (s Status) Done() float64 {
	if s.Head == 0 {
		return 1
	}
	return min(1, float64(s.Position)/float64(s.Head))
}

// summary returns the status of a projection from those of its lanes.
func summary(lanes []Status) Status {
	if len(lanes) == 1 {
		return lanes[0]
	}
	sum := lanes[0]
	sum.Lanes = lanes
	for _, s := range lanes[1:] {
		sum.Position = min(sum.Position, s.Position)
		sum.Applied += s.Applied
		sum.Left = max(sum.Left, s.Left)
		sum.Heartbeat = earlier(sum.Heartbeat, s.Heartbeat)
		if s.Progressed.After(sum.Progressed) {
			sum.Progressed = s.Progressed
		}
		if worseThan(s.State, sum.State) {
			sum.State = s.State
		}
		if sum.LastError == nil {
			sum.LastError, sum.ErrorAt = s.LastError, s.ErrorAt
		}
		if sum.Owner != s.Owner {
			sum.Owner, sum.Fence = "", 0 // each lane has its own
		}
		sum.Rate = min(sum.Rate, s.Rate)
	}
	return sum
}

// earlier returns the earlier of two times; zero is the earliest.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// worseThan reports whether the state a says more about a projection than b: what
// fails or waits for help first, what goes well last.
func worseThan(a, b State) bool {
	order := []State{Live, Waiting, Idle, CatchingUp, Paused, Failed}
	return slices.Index(order, a) > slices.Index(order, b)
}

// board holds a worker's status and tells whoever waits for a change.
type board struct {
	mu      sync.Mutex
	status  Status
	started time.Time
	from    uint64 // where this run began
	changed chan struct{}
}

func newBoard(p Projection, lane int) *board {
	return &board{
		status:  Status{Projection: p.Name(), Version: p.Version(), Lane: lane, Guarantee: p.Guarantee()},
		changed: make(chan struct{}),
	}
}

// update changes the status and wakes all who wait.
func (b *board) update(f func(s *Status)) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.status)
	close(b.changed)
	b.changed = make(chan struct{})
	return b.status
}

// look returns the status and a channel that is closed at the next change.
func (b *board) look() (Status, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status, b.changed
}

// begin notes where a run starts, for rate and estimate.
func (b *board) begin(now time.Time, position uint64) {
	b.update(func(s *Status) {
		b.started, b.from = now, position
		s.State, s.Position, s.Heartbeat = CatchingUp, position, now
	})
}

// moved notes that everything up to position is done.
func (b *board) moved(now time.Time, position, applied uint64) Status {
	return b.update(func(s *Status) {
		s.Position, s.Progressed, s.Heartbeat = position, now, now
		s.Head = max(s.Head, position)
		s.Applied += applied
		s.LastError, s.ErrorAt = nil, 0
		if elapsed := now.Sub(b.started).Seconds(); elapsed > 0 {
			s.Rate = float64(position-b.from) / elapsed
		}
		s.Left = 0
		if s.Rate > 0 {
			s.Left = time.Duration(float64(s.Lag()) / s.Rate * float64(time.Second))
		}
	})
}

// position returns how far the projection has come.
func (b *board) position() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.Position
}
