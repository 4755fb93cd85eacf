package projection

import (
	"fmt"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/registry"
)

// Config is how a runner works. Only Projections is required.
type Config struct {
	// Projections to run. Names must be unique, but several versions of one may
	// run side by side.
	Projections []Projection

	// Progress is where checkpoints, dead letters and leases are kept. Default:
	// the event store's own.
	Progress Progress

	// BatchSize is how many events go into one transaction at the most. Default 500.
	BatchSize int
	// BatchTime ends a batch that has been open for so long, though it is not
	// full. Default 250 ms.
	BatchTime time.Duration

	// Retry is how an event is tried again before it is taken for poison. Default:
	// 3 attempts, waiting 50 ms and then 100 ms.
	Retry Retry
	// Gather is how long a projection that follows live waits for more events
	// before it applies those that came, so that many small transactions become
	// one: what it costs beside the writers falls, and effects are late by as
	// much. Default 0: events are applied as they come.
	Gather time.Duration
	// Pause is how long a projection waits between tries while the
	// infrastructure is down. It never gives up; MaxAttempts is not used. Default:
	// from 100 ms to 30 s.
	Pause Retry
	// Redrive is when parked sequences are tried again by themselves. After
	// MaxAttempts redrives only a command does. Default: 20, from 1 s to 1 h.
	Redrive Retry

	// OnPoison is what happens to an event that cannot be applied. Default [Park].
	OnPoison Action
	// Classifier decides what errors mean before the store and [DefaultClass] do.
	Classifier Classifier
	// MaxSequences bounds the parked sequences of one projection. Default 1,024.
	MaxSequences int
	// MaxLetters bounds the letters of one sequence. Default 1,024.
	MaxLetters int

	// Owner names this runner in leases. It must be unique: two runners of one
	// name take each other for themselves. Default: host, process id, random.
	Owner string
	// LeaseTTL is how long another process waits before it takes over a
	// projection whose owner is gone. It is renewed at a third of it. What is
	// decided elsewhere is seen after a tenth of it, or after a second if that is
	// less. Default 10 s.
	LeaseTTL time.Duration
	// ShutdownTimeout is how long the batch in hand may go on after the
	// context has ended; then it is rolled back. Default 5 s.
	ShutdownTimeout time.Duration

	// Circuit is how many events in a row may park, of different sequences and
	// with none applied between, before the projection pauses instead of parking
	// more: then it is hardly the events that are at fault. It tries one event
	// again and again, as Pause says, and goes on when that is applied. Default 100.
	Circuit int

	// Observer is told of each step, for spans and metrics. Default: none.
	Observer Observer

	// OnProgress is called after each batch, from the projection's goroutine. It
	// must not call the runner's commands, which wait for the batch to end.
	OnProgress func(Status)
	// Logger gets what operators need to see. Default: none.
	Logger *zap.Logger
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// maxOwnerBytes leaves room for what a runner puts behind the name in the leases
// of orders.
const maxOwnerBytes = lease.MaxNameBytes - 32

// Action is what happens to an event that cannot be applied.
type Action uint8

const (
	// Park puts the event and all later ones of its sequence into the
	// dead-letter queue, and goes on with all others.
	Park Action = iota
	// Skip records the event as discarded and goes on, also with its sequence:
	// for projections that may miss an event.
	Skip
	// Stop stops the projection in front of the event.
	Stop
)

// String returns "park", "skip" or "stop".
func (a Action) String() string {
	switch a {
	case Skip:
		return "skip"
	case Stop:
		return "stop"
	default:
		return "park"
	}
}

// Retry is exponential back-off with jitter.
type Retry struct {
	MaxAttempts int           // how often in all
	First       time.Duration // before the second attempt
	Most        time.Duration // between two attempts
}

// after returns how long to wait after the given number of failed attempts,
// give or take a quarter.
func (r Retry) after(attempts int) time.Duration {
	b := backoff.ExponentialBackOff{InitialInterval: r.First, Multiplier: 2, RandomizationFactor: 0.25, MaxInterval: r.Most}
	b.Reset()
	wait := b.NextBackOff()
	for i := 1; i < attempts && i < maxDoublings; i++ {
		wait = b.NextBackOff()
	}
	return wait
}

// maxDoublings is enough to go from a nanosecond to a century.
const maxDoublings = 62

func (r Retry) orDefault(d Retry) Retry {
	if r.MaxAttempts == 0 {
		r.MaxAttempts = d.MaxAttempts
	}
	if r.First == 0 {
		r.First = d.First
		if r.Most > 0 {
			r.First = min(r.First, r.Most)
		}
	}
	if r.Most == 0 {
		r.Most = max(d.Most, r.First)
	}
	return r
}

func (r Retry) validate(field string) error {
	if r.MaxAttempts < 0 || r.First < 0 || r.Most < 0 {
		return &event.InvalidError{Field: field, Reason: "must not be negative; 0 means the default"}
	}
	if r.Most != 0 && r.Most < r.First {
		return &event.InvalidError{Field: field + ".most", Reason: "must not be less than first"}
	}
	return nil
}

func (c Config) withDefaults() Config {
	setDefault(&c.BatchSize, 500)
	setDefault(&c.BatchTime, 250*time.Millisecond)
	setDefault(&c.MaxSequences, 1024)
	setDefault(&c.MaxLetters, 1024)
	setDefault(&c.Circuit, 100)
	setDefault(&c.LeaseTTL, 10*time.Second)
	setDefault(&c.ShutdownTimeout, 5*time.Second)
	c.Retry = c.Retry.orDefault(Retry{MaxAttempts: 3, First: 50 * time.Millisecond, Most: time.Second})
	c.Pause = c.Pause.orDefault(Retry{MaxAttempts: 1, First: 100 * time.Millisecond, Most: 30 * time.Second})
	c.Redrive = c.Redrive.orDefault(Retry{MaxAttempts: 20, First: time.Second, Most: time.Hour})
	if c.Owner == "" {
		c.Owner = defaultOwner()
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func defaultOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString()[:8])
}

// Validate checks everything that [NewRunner] would refuse. The error names
// the field or the projection.
func (c Config) Validate() error {
	if err := c.validateNumbers(); err != nil {
		return err
	}
	if len(c.Projections) == 0 {
		return &event.InvalidError{Field: "projections", Reason: "must name at least one"}
	}
	seen := make(map[registry.Name]bool, len(c.Projections))
	for _, p := range c.Projections {
		if err := validateProjection(p); err != nil {
			return err
		}
		name := registry.Name{Projection: p.Name(), Version: p.Version()}
		if seen[name] {
			return &event.InvalidError{Field: "projections", Value: p.Name(), Reason: fmt.Sprintf("is the name of two projections of version %d", p.Version())}
		}
		seen[name] = true
	}
	return nil
}

func (c Config) validateNumbers() error {
	for _, n := range []struct {
		field string
		value int64
	}{
		{"batch_size", int64(c.BatchSize)},
		{"batch_time", int64(c.BatchTime)},
		{"gather", int64(c.Gather)},
		{"max_sequences", int64(c.MaxSequences)},
		{"max_letters", int64(c.MaxLetters)},
		{"circuit", int64(c.Circuit)},
		{"lease_ttl", int64(c.LeaseTTL)},
		{"shutdown_timeout", int64(c.ShutdownTimeout)},
	} {
		if n.value < 0 {
			return &event.InvalidError{Field: n.field, Reason: "must not be negative; 0 means the default"}
		}
	}
	if len(c.Owner) > maxOwnerBytes {
		return &event.TooLargeError{Field: "owner", Size: len(c.Owner), Limit: maxOwnerBytes, Unit: "bytes"}
	}
	if c.OnPoison > Stop {
		return &event.InvalidError{Field: "on_poison", Reason: "must be projection.Park, Skip or Stop"}
	}
	for field, r := range map[string]Retry{"retry": c.Retry, "pause": c.Pause, "redrive": c.Redrive} {
		if err := r.validate(field); err != nil {
			return err
		}
	}
	return nil
}

func validateProjection(p Projection) error {
	if p == nil {
		return &event.InvalidError{Field: "projections", Reason: "must not contain nil"}
	}
	if err := (registry.Name{Projection: p.Name(), Version: p.Version()}).Validate(); err != nil {
		return fmt.Errorf("projection %q: %w", p.Name(), err)
	}
	if err := registry.CheckLanes("lanes", lanesOf(p)); err != nil {
		return fmt.Errorf("projection %q: %w", p.Name(), err)
	}
	if v, ok := p.(Validator); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("projection %q: %w", p.Name(), err)
		}
	}
	return nil
}
