package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/registry"
)

// ControlConfig is how a [Control] works. Recorder is required.
type ControlConfig struct {
	// Progress is where the runners of the projections keep theirs. Default: the
	// event store's own.
	Progress Progress

	// Registry is where it is kept what is decided about projections. Default:
	// that of Progress.
	Registry registry.Store

	// Recorder keeps who has given which command and why. It is required, for
	// what an operator has done is asked for when it is too late to switch it on:
	// audit.CommandLog keeps commands in the audit log, [Unrecorded] nowhere.
	Recorder CommandRecorder

	// Poll is how often Await, AwaitCaughtUp and WaitFor look; MaxAttempts is not
	// used. Default: after 50 ms, and then more and more rarely up to every second.
	Poll Retry

	// Now is the clock that commands are dated by. Default [time.Now].
	Now func() time.Time
}

// Validate checks everything that [NewControl] would refuse, but for what the
// event store has. The error names the field.
func (c ControlConfig) Validate() error {
	if c.Recorder == nil {
		return &event.InvalidError{Field: "recorder", Reason: "must be set: audit.CommandLog(log) keeps commands in the audit log, projection.Unrecorded{} nowhere"}
	}
	return c.Poll.validate("poll")
}

// Control operates projections from any process, whether or not it runs them,
// and without their code. It changes what is decided about them and about their
// dead letters; whoever runs them sees that within a moment and does as it says.
//
// It makes these promises:
//
//  1. Lasting. A command is carried out though every process is restarted: a
//     paused projection stays paused, an order waits for a runner.
//  2. Refused before anything happens. A command that cannot be is refused with
//     a typed error that says what to do; it changes nothing and is not recorded.
//  3. Recorded first. A command that is not refused is recorded before it
//     changes anything, with the actor of its context. If that fails, nothing is
//     changed. If what follows fails, the command is recorded once more, with
//     the error.
//  4. One order at a time. Of racing commands to one version that exclude each
//     other, one succeeds and the others are refused. Those that do not, such as
//     a pause while a rebuild is ordered, all succeed.
//  5. Exact. A command changes what it was given for and nothing else.
//
// An order says what is to become of a version: it is carried out by a runner
// that has the version, in one transaction, and tried again until it succeeds,
// is withdrawn, or is refused because it cannot be; [Control.Await] waits for that. Orders to several versions of
// one projection are independent of each other, but for [Control.Switch].
//
// All methods are safe for concurrent use.
type Control struct {
	events   eventstore.Store
	progress Progress
	registry registry.Store
	recorder CommandRecorder
	poll     Retry
	now      func() time.Time
}

// NewControl returns a control of the projections of events. It starts nothing.
// The error, an [*event.InvalidError], names the field.
func NewControl(events eventstore.Store, config ControlConfig) (*Control, error) {
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
	if config.Registry == nil {
		config.Registry = config.Progress.Registry()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Control{
		events: events, progress: config.Progress, registry: config.Registry, recorder: config.Recorder, now: config.Now,
		poll: config.Poll.orDefault(Retry{MaxAttempts: 1, First: 50 * time.Millisecond, Most: time.Second}),
	}, nil
}

// decision changes a record as a command says, or returns why it cannot be. It
// may complete the command by what it finds.
type decision func(ctx context.Context, r *registry.Record, cmd *Command) error

// decide carries out a command that changes a record.
func (c *Control) decide(ctx context.Context, cmd Command, d decision) error {
	c.stamp(ctx, &cmd)
	if err := cmd.validateReason(); err != nil {
		return err
	}
	r, err := c.load(ctx, cmd.Name)
	if err != nil {
		return err
	}
	if err := d(ctx, &r, &cmd); err != nil {
		return err
	}
	return c.carryOut(ctx, cmd, func() error { return c.save(ctx, r, d, cmd) })
}

// mostSaves bounds how often a record is decided upon that others keep changing.
const mostSaves = 10

// save saves what was decided. If the record was changed in the meantime, by a
// runner or by another command, it is decided anew.
func (c *Control) save(ctx context.Context, r registry.Record, d decision, cmd Command) error {
	for saves := 1; ; saves++ {
		_, err := c.registry.Save(ctx, r)
		if err == nil {
			return nil
		}
		if !errors.Is(err, registry.ErrChanged) || saves == mostSaves {
			return fmt.Errorf("%s projection %s: %w", cmd.Kind, cmd.Name, err)
		}
		if r, err = c.load(ctx, cmd.Name); err != nil {
			return err
		}
		if err := d(ctx, &r, &cmd); err != nil {
			return err
		}
	}
}

// load returns a record, or says which ones there are.
func (c *Control) load(ctx context.Context, name registry.Name) (registry.Record, error) {
	if err := name.Validate(); err != nil {
		return registry.Record{}, err
	}
	r, err := c.registry.Load(ctx, name)
	if err == nil {
		return r, nil
	}
	if !errors.Is(err, registry.ErrNotFound) {
		return registry.Record{}, fmt.Errorf("look up projection %s: %w", name, err)
	}
	others, err := c.registry.List(ctx, name.Projection)
	if err != nil {
		return registry.Record{}, fmt.Errorf("look up projection %s: %w", name, err)
	}
	unknown := &UnknownVersionError{Name: name}
	for _, other := range others {
		unknown.Known = append(unknown.Known, other.Name.Version)
	}
	return registry.Record{}, unknown
}

// recordTimeout bounds the recording of a command's failure, which goes on
// when the caller has gone away.
const recordTimeout = 5 * time.Second

// carryOut records a command, does it, and records if that failed.
func (c *Control) carryOut(ctx context.Context, cmd Command, do func() error) error {
	if err := c.recorder.RecordCommand(ctx, cmd); err != nil {
		return &RecordError{Command: cmd, Err: err}
	}
	if cmd.Err = do(); cmd.Err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := c.recorder.RecordCommand(ctx, cmd); err != nil {
		return errors.Join(cmd.Err, fmt.Errorf("record that it failed: %w", err))
	}
	return cmd.Err
}
