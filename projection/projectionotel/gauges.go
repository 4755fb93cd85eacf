package projectionotel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// Register has projections measured whenever the metrics are collected, until
// unregister is called. Errors are those of a provider which refuses an
// instrument, and an [*event.InvalidError] without a reader.
//
// The reader is asked once for each collection, however many readers of metrics
// there are within a second, and has 2 s to answer. If it does not answer, or
// with an error, there are no measurements: a projection of which nothing is
// known never reads as one that is not behind. Versions that have been replaced
// or retired have none but their stage: they do not run.
func Register(config Config, reader projection.StatusReader) (unregister func() error, err error) {
	config = config.withDefaults()
	cache, err := projection.NewStatusCache(reader, projection.StatusCacheConfig{Now: config.Now})
	if err != nil {
		return nil, err // it says what is missing.
	}
	meter := config.meter()
	g, all, err := newGauges(meter)
	if err != nil {
		return nil, fmt.Errorf("make instruments: %w", err)
	}
	g.reader, g.now = cache, config.Now
	registration, err := meter.RegisterCallback(g.observe, all...)
	if err != nil {
		return nil, fmt.Errorf("register gauges: %w", err)
	}
	return registration.Unregister, nil
}

// gauges are what is measured of projections when somebody looks.
type gauges struct {
	reader projection.StatusReader
	now    func() time.Time
	errors metric.Int64Counter

	position, lag, sequences, letters, paused, state, stage metric.Int64ObservableGauge
	behind, rate, oldest, heartbeat                         metric.Float64ObservableGauge
}

func newGauges(meter metric.Meter) (*gauges, []metric.Observable, error) {
	var all []metric.Observable
	var errs []error
	integer := func(name, unit, description string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		all, errs = append(all, g), append(errs, err)
		return g
	}
	number := func(name, unit, description string) metric.Float64ObservableGauge {
		g, err := meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		all, errs = append(all, g), append(errs, err)
		return g
	}
	g := &gauges{
		position:  integer("evident.projection.position", "{position}", "Everything up to here is done."),
		lag:       integer("evident.projection.lag", "{position}", "Positions between the projection and the store's head."),
		behind:    number("evident.projection.behind", "s", "Age of the oldest event that is not done; 0 at the head."),
		rate:      number("evident.projection.rate", "{position}/s", "Positions a second since the runner was started; absent while unknown."),
		sequences: integer("evident.projection.dead_letters.sequences", "{sequence}", "Parked sequences, such as aggregates."),
		letters:   integer("evident.projection.dead_letters.letters", "{letter}", "Events that wait in parked sequences."),
		oldest:    number("evident.projection.dead_letters.oldest.age", "s", "Time since the oldest letter was parked; 0 if there is none."),
		heartbeat: number("evident.projection.heartbeat.age", "s", "Time since the loop, or that of the quietest lane, last went round in this process; absent if it never did."),
		paused:    integer("evident.projection.paused", "{projection}", "1 if an operator has paused the projection, else 0."),
		state:     integer("evident.projection.state", "{projection}", "1 for what the projection is doing in this process, 0 for all other states."),
		stage:     integer("evident.projection.stage", "{projection}", "1 for where the version stands in its life, 0 for all other stages."),
	}
	var err error
	g.errors, err = meter.Int64Counter("evident.projection.status.errors", metric.WithUnit("{error}"),
		metric.WithDescription("Collections for which it could not be told where projections stand."))
	return g, all, errors.Join(append(errs, err)...)
}

// observe never returns an error: a reader of metrics may then export none at
// all, not even those of others.
func (g *gauges) observe(ctx context.Context, o metric.Observer) error {
	statuses, err := g.reader.Status(ctx)
	if err != nil {
		g.errors.Add(ctx, 1)
		return nil //nolint:nilerr // it is counted.
	}
	for _, s := range statuses {
		g.measure(o, s)
	}
	return nil
}

func (g *gauges) measure(o metric.Observer, s projection.Status) {
	for _, stage := range stages() {
		o.ObserveInt64(g.stage, one(stage == s.Stage), metric.WithAttributeSet(named(s.Projection, s.Version, keyStage.String(stageName(stage)))))
	}
	if s.Stage == registry.Replaced || s.Stage == registry.Retired {
		return
	}
	for _, state := range states() {
		o.ObserveInt64(g.state, one(state == s.State), metric.WithAttributeSet(named(s.Projection, s.Version, keyState.String(stateName(state)))))
	}
	these := metric.WithAttributeSet(named(s.Projection, s.Version))
	o.ObserveInt64(g.position, whole(s.Position), these)
	o.ObserveInt64(g.lag, whole(s.Lag()), these)
	o.ObserveFloat64(g.behind, s.Behind.Seconds(), these)
	o.ObserveInt64(g.sequences, int64(s.DeadLetters.Sequences), these)
	o.ObserveInt64(g.letters, int64(s.DeadLetters.Letters), these)
	o.ObserveFloat64(g.oldest, g.age(s.DeadLetters.Oldest), these)
	o.ObserveInt64(g.paused, one(!s.Pause.At.IsZero()), these)
	if s.Rate > 0 {
		o.ObserveFloat64(g.rate, s.Rate, these)
	}
	if last := quietest(s); !last.IsZero() {
		o.ObserveFloat64(g.heartbeat, g.age(last), these)
	}
}

// age is how long ago something was, in seconds; 0 if it never was.
func (g *gauges) age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, g.now().Sub(t).Seconds())
}

// quietest is when the loop of the lane that has been silent for longest last
// went round; zero if none ever did.
func quietest(s projection.Status) time.Time {
	last := s.Heartbeat
	for i, lane := range s.Lanes {
		if i == 0 || last.IsZero() || !lane.Heartbeat.IsZero() && lane.Heartbeat.Before(last) {
			last = lane.Heartbeat
		}
	}
	return last
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
