package chaostest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// jobVariable tells the test's program that it is a process of this package, and
// what to do.
const jobVariable = "EVIDENT_CHAOS_JOB"

// The names of the projections that a process runs.
const (
	Effects = "effects"
	Tallies = "tallies"
	Outside = "outside"
)

// Job is what a process is to do.
type Job struct {
	Address string        // of the store
	Owner   string        // of its leases
	Lanes   int           // in which projections begin
	Lease   time.Duration // how long its leases last
	Slow    time.Duration // what a handler takes for an event at the most
	Healed  string        // file with the number up to which poison is healed
	Lines   string        // file that [Outside] appends to
}

// Place is where a process works.
type Place struct {
	Store    eventstore.Store
	Progress projection.Progress // nil if the store keeps it
	// Projections are [Effects] and [Tallies].
	Projections []projection.Projection
	Close       func() error
}

// Home opens the place of a job. The handlers of its projections call check for
// the events that they get, and its error is theirs.
type Home func(ctx context.Context, j Job, check func(events ...event.Event) error) (Place, error)

// Run does what the environment asks for, if this is a process of this package,
// and reports whether it is. The process ends when its input does.
func Run(home Home) bool {
	text, ok := os.LookupEnv(jobVariable)
	if !ok {
		return false
	}
	if err := work(home, text); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	return true
}

func work(home Home, text string) error {
	var j Job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the process's own.
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	place, err := home(ctx, j, j.check)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	lines, err := os.OpenFile(j.Lines, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, place.Close())
	}
	runner, err := j.runner(place, lines)
	if err == nil {
		fmt.Fprintln(os.Stdout, ready)
		err = runner.Run(ctx)
	}
	return errors.Join(err, lines.Close(), place.Close())
}

// ready is what a process says when it begins to run.
const ready = "ready"

func (j Job) runner(place Place, lines *os.File) (*projection.Runner, error) {
	log, err := zap.Config{
		Level: zap.NewAtomicLevelAt(zap.WarnLevel), Encoding: "console", EncoderConfig: zap.NewDevelopmentEncoderConfig(),
		OutputPaths: []string{"stderr"}, DisableStacktrace: true, InitialFields: map[string]any{"owner": j.Owner},
	}.Build()
	if err != nil {
		return nil, fmt.Errorf("logger: %w", err)
	}
	return projection.NewRunner(place.Store, projection.Config{
		Projections: append(place.Projections, j.outside(lines)),
		Progress:    place.Progress,
		Owner:       j.Owner,
		LeaseTTL:    j.Lease,
		Logger:      log,
		BatchSize:   20,
		Retry:       projection.Retry{MaxAttempts: 2, First: time.Millisecond, Most: time.Millisecond},
		Pause:       projection.Retry{First: 10 * time.Millisecond, Most: 100 * time.Millisecond},
		Redrive:     projection.Retry{MaxAttempts: 1 << 20, First: 20 * time.Millisecond, Most: 100 * time.Millisecond},
	})
}

// outside returns the projection that writes lines to a file. Each is one write,
// so that those of several processes do not mix.
func (j Job) outside(file *os.File) projection.Projection {
	return projection.New(Outside, 1, projection.InLanes(j.Lanes), projection.OnEvery(func(_ context.Context, e event.Event) error {
		if err := j.check(e); err != nil {
			return err
		}
		_, err := fmt.Fprintf(file, "%d %s %s\n", e.Position, e.AggregateID, j.Owner)
		return err // of the target.
	}))
}

// counted is the event of the tests. Poison is the number up to which healing
// must have come for it to be applied; 0 if it is healthy.
type counted struct {
	N      uint64 `json:"n"`
	Poison uint64 `json:"poison"`
}

// EventType implements [event.Payload].
func (counted) EventType() string { return "Counted" }

// errPoison is what an event fails with that is poison.
var errPoison = errors.New("poison")

// check fails for poison that is not healed, in one way or another.
func (j Job) check(events ...event.Event) error {
	for _, e := range events {
		pause(rand.N(j.Slow))
		var p counted
		if err := json.Unmarshal(e.Data, &p); err != nil {
			return fmt.Errorf("%w: %w", event.ErrDecode, err)
		}
		if p.Poison == 0 || p.Poison <= j.healed() {
			continue
		}
		switch p.Poison % 3 {
		case 0:
			return errPoison
		case 1:
			return projection.AsPoison(errPoison)
		default:
			panic(errPoison)
		}
	}
	return nil
}

// healed returns the number up to which poison is healed; 0 if nobody says.
func (j Job) healed() uint64 {
	text, err := os.ReadFile(j.Healed)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// Value returns what an event counts for in [Tallies].
func Value(e event.Event) (uint64, error) {
	var p counted
	err := json.Unmarshal(e.Data, &p)
	return p.N, err // the caller's handler's.
}
