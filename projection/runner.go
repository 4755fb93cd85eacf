package projection

import (
	"context"
	"fmt"
	"slices"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/registry"
)

// Runner feeds projections from an event store.
//
// It makes these promises:
//
//  1. One loop for catch-up and live. The feed is always read from the last
//     position; a wake-up only says "look now".
//  2. Exactly once where it can be. A projection whose target lives in the
//     store's database moves its checkpoint in the same transaction as its
//     effects. Any other is at least once. Each says which.
//  3. Batches. If a batch fails it is rolled back and redone event by event,
//     each under a savepoint, so that a failing handler leaves nothing behind
//     and only the failing event is blamed. So is that of a [Batcher], which
//     is given a batch whole.
//  4. The checkpoint moves over filtered ranges too, never moves back, and is
//     saved when a run is cancelled.
//  5. Errors by class. Infrastructure errors are retried for ever and pause
//     the projection; they never count as poison and never skip.
//  6. Sequenced dead letters. A poison event is parked and later events of its
//     sequence queue behind it, while all others go on. A redrive goes through
//     a sequence in order, each letter under a savepoint. At the limit the
//     projection pauses; nothing is lost.
//  7. One owner. A projection runs under a lease whose fence every commit
//     checks, so that a process which slept through its lease cannot write.
//  8. Status tells the truth: it is measured against the store's head.
//  9. Read your own writes: WaitFor.
//  10. Shutdown finishes or rolls back the batch in hand, saves the checkpoint
//     and releases the lease, within ShutdownTimeout.
//  11. Events of types that no handler wants are passed over; a payload that
//     does not decode is poison.
//  12. Projections are independent: one that stops or pauses does not keep the
//     others.
//  13. Lanes. A projection in several lanes keeps order within each sequence,
//     has a checkpoint for each lane, and spreads lanes evenly over the processes
//     that run it. Their number changes at run time, and no event is passed over
//     or comes twice by it.
//  14. What is decided is done by every runner, within about a second: pauses,
//     and orders such as a rebuild or a switch of versions, which one runner
//     carries out in one transaction while all others stand still.
//
// All methods are safe for concurrent use.
type Runner struct {
	events   eventstore.Store
	config   Config
	stewards []*steward // in the order of the configuration
	byName   map[string][]*steward
	renewer  *renewer
	pulse    *pulse
}

// NewRunner returns a runner of events. It starts nothing. Errors are those of
// [Config.Validate].
func NewRunner(events eventstore.Store, config Config) (*Runner, error) {
	if events == nil {
		return nil, &event.InvalidError{Field: "events", Reason: "must not be nil"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	progress, err := progressOf(events, config.Progress)
	if err != nil {
		return nil, err
	}
	config.Progress = progress
	config = config.withDefaults()
	r := &Runner{events: events, config: config, byName: make(map[string][]*steward), renewer: newRenewer(config)}
	r.pulse = &pulse{runner: r, config: config}
	for _, p := range config.Projections {
		s := newSteward(r, p)
		r.stewards = append(r.stewards, s)
		r.byName[p.Name()] = append(r.byName[p.Name()], s)
	}
	return r, nil
}

// Run runs all projections until ctx ends, and then returns nil. A projection
// that stops for good does not end the others; Run returns its error, joined
// with those of others, when all have ended.
func (r *Runner) Run(ctx context.Context) error {
	return each(r.stewards, func(s *steward) error { return s.run(ctx, goal{}) })
}

// RunUntilCaughtUp runs all projections until each has come to where the
// store's head was when it was called, and returns. It is for jobs and tests.
// Unlike [Runner.Run] it does not wait for room in the dead-letter queue, and a
// projection that is paused, or was replaced or retired, is an
// [*InactiveError]. It returns ctx's error if ctx ends first.
func (r *Runner) RunUntilCaughtUp(ctx context.Context) error {
	return r.catchUp(ctx, r.stewards)
}

func (r *Runner) catchUp(ctx context.Context, stewards []*steward) error {
	head, err := r.events.Head(ctx)
	if err != nil {
		return fmt.Errorf("catch up: %w", err)
	}
	if err := each(stewards, func(s *steward) error { return s.run(ctx, goal{bounded: true, position: head}) }); err != nil {
		return err
	}
	return ctx.Err() // the caller's own.
}

// WaitFor blocks until everything up to position is done in a projection,
// parked events included: after it a read model shows what was written. The
// projection may be run by another process. Of several versions it waits for the
// live one. Errors: [ErrUnknownProjection], [ErrStopped], and ctx's own.
func (r *Runner) WaitFor(ctx context.Context, projection string, position uint64) error {
	s, err := r.steward(ctx, projection)
	if err != nil {
		return err
	}
	return s.waitFor(ctx, position)
}

// Status returns the state of all projections, in the order of the
// configuration, measured against the store's head. If the store cannot be asked
// it returns, beside the error, what this process knows, see [Runner.Pulse].
func (r *Runner) Status(ctx context.Context) ([]Status, error) {
	head, err := r.events.Head(ctx)
	if err != nil {
		return r.Pulse(), fmt.Errorf("status: %w", err)
	}
	all := make([]Status, 0, len(r.stewards))
	for _, s := range r.stewards {
		status, err := s.measure(ctx, head)
		if err != nil {
			return r.Pulse(), fmt.Errorf("status of %s: %w", s.name, err)
		}
		all = append(all, status)
	}
	return all, nil
}

// Reset empties a projection's target, its checkpoints and its dead letters, so
// that the next run builds it anew from the first event. Errors:
// [ErrUnknownProjection]; [ErrRunning] while this runner runs it;
// [lease.ErrHeld] while another process does. A reset that was interrupted
// must be repeated; if another process took the projection over meanwhile, a
// rebuild is ordered. [Control.Rebuild] does it while the projection runs.
func (r *Runner) Reset(ctx context.Context, projection string) error {
	s, err := r.steward(ctx, projection)
	if err != nil {
		return err
	}
	return s.reset(ctx)
}

// Rebuild resets a projection and replays all events into it, and returns when
// it has caught up. [Config.OnProgress] sees it advance.
func (r *Runner) Rebuild(ctx context.Context, projection string) error {
	s, err := r.steward(ctx, projection)
	if err != nil {
		return err
	}
	if err := s.reset(ctx); err != nil {
		return err
	}
	return r.catchUp(ctx, []*steward{s})
}

// steward returns the one of a projection, of several versions that of the live
// one, or of the newest if none of them is live.
func (r *Runner) steward(ctx context.Context, projection string) (*steward, error) {
	versions := r.byName[projection]
	switch len(versions) {
	case 0:
		return nil, fmt.Errorf("projection %q: %w", projection, ErrUnknownProjection)
	case 1:
		return versions[0], nil
	}
	newest := versions[0]
	for _, s := range versions {
		record, _, err := s.look(ctx)
		if err != nil {
			return nil, fmt.Errorf("projection %q: %w", projection, err)
		}
		if record.State == registry.Live {
			return s, nil
		}
		if s.name.Version > newest.name.Version {
			newest = s
		}
	}
	return newest, nil
}

// stewardOf returns the one of a version, or nil.
func (r *Runner) stewardOf(name registry.Name) *steward {
	for _, s := range r.byName[name.Projection] {
		if s.name == name {
			return s
		}
	}
	return nil
}

// hasLanes reports whether any projection runs in several lanes.
func (r *Runner) hasLanes() bool {
	return slices.ContainsFunc(r.stewards, func(s *steward) bool { return s.known().Lanes > 1 })
}
