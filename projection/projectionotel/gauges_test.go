package projectionotel_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/golden"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/projectionotel"
	"github.com/evident-go/evident/registry"
)

func titles() projection.Status {
	return projection.Status{
		Projection: "titles", Version: 2, State: projection.CatchingUp, Stage: registry.Live,
		Position: 40, Head: 100, Behind: 90 * time.Second, Rate: 12.5,
		DeadLetters: dlq.Stats{Sequences: 2, Letters: 7, Oldest: noon.Add(-time.Hour)},
		Heartbeat:   noon.Add(-1500 * time.Millisecond),
	}
}

// of returns what was measured of titles, without what all series have.
func of(values map[string]float64) map[string]float64 {
	out := make(map[string]float64)
	for name, value := range values {
		name = strings.Replace(name, "evident.projection.name=titles ", "", 1)
		name = strings.Replace(name, "evident.projection.version=2", "", 1)
		name = strings.Replace(name, " }", "}", 1)
		out[strings.TrimSuffix(strings.TrimPrefix(name, "evident.projection."), "{}")] = value
	}
	return out
}

func TestGauges(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.register(says(titles()))
	assert.Equal(t, map[string]float64{
		"position": 40, "lag": 60, "behind": 90, "rate": 12.5, "paused": 0,
		"dead_letters.sequences": 2, "dead_letters.letters": 7, "dead_letters.oldest.age": 3600,
		"heartbeat.age":                               1.5,
		"state{evident.projection.state=idle}":        0,
		"state{evident.projection.state=waiting}":     0,
		"state{evident.projection.state=catching_up}": 1,
		"state{evident.projection.state=live}":        0,
		"state{evident.projection.state=paused}":      0,
		"state{evident.projection.state=failed}":      0,
		"stage{evident.projection.stage=new}":         0,
		"stage{evident.projection.stage=building}":    0,
		"stage{evident.projection.stage=caught_up}":   0,
		"stage{evident.projection.stage=live}":        1,
		"stage{evident.projection.stage=replaced}":    0,
		"stage{evident.projection.stage=retired}":     0,
	}, of(x.values()))
}

func TestGaugesOfWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.register(says(projection.Status{Projection: "titles", Version: 2}))
	values := of(x.values())
	assert.NotContains(t, values, "heartbeat.age", "a loop that never went round has none")
	assert.NotContains(t, values, "rate")
	assert.Contains(t, values, "lag")
	assert.InDelta(t, 0, values["dead_letters.oldest.age"], 0)
}

func TestGaugesOfLanes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		heartbeats []time.Duration // ago; 0 for none
		want       float64
	}{
		"the quietest":                  {[]time.Duration{time.Second, time.Minute, time.Second}, 60},
		"the quietest is the first":     {[]time.Duration{time.Minute, time.Second}, 60},
		"some are run by others":        {[]time.Duration{0, time.Second, 0, 2 * time.Second, 0}, 2},
		"a clock that goes differently": {[]time.Duration{-time.Second}, 0},
	} {
		x := newTelescope(t)
		s := titles()
		for i, ago := range c.heartbeats {
			lane := projection.Status{Lane: i}
			if ago != 0 {
				lane.Heartbeat = noon.Add(-ago)
			}
			s.Lanes = append(s.Lanes, lane)
		}
		x.register(says(s))
		assert.InDelta(t, c.want, of(x.values())["heartbeat.age"], 0, name)
	}
}

func TestGaugesOfAPositionBeyondAllBounds(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	x.register(says(projection.Status{Projection: "titles", Version: 2, Position: math.MaxUint64, Head: math.MaxUint64}))
	assert.InDelta(t, math.MaxInt64, of(x.values())["position"], 0)
}

func TestGaugesOfVersionsThatDoNotRun(t *testing.T) {
	t.Parallel()
	for _, stage := range []registry.State{registry.Replaced, registry.Retired} {
		x := newTelescope(t)
		s := titles()
		s.Stage = stage
		x.register(says(s))
		values := x.values()
		require.Len(t, values, 6, "nothing but the stage: it would be behind for ever")
		for name, value := range values {
			assert.Contains(t, name, "evident.projection.stage")
			assert.Equal(t, strings.Contains(name, string(stage)), value == 1, name)
		}
	}
}

func TestGaugeOfAnOperatorsPause(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	s := titles()
	s.Pause = registry.Pause{Reason: "a secret", At: noon}
	x.register(says(s))
	values := x.values()
	assert.InDelta(t, 1, of(values)["paused"], 0)
	for name := range values {
		assert.NotContains(t, name, "secret")
	}
}

func TestTrapWhatIsNotKnownNeverReadsAsNoLag(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	now, problem := noon, error(nil)
	x.config.Now = func() time.Time { return now }
	x.register(reader(func(context.Context) ([]projection.Status, error) {
		return []projection.Status{titles()}, problem
	}))
	assert.Contains(t, of(x.values()), "lag")
	for i := range 3 {
		problem = errors.New("down")
		now = now.Add(time.Minute)
		assert.Equal(t, map[string]float64{"evident.projection.status.errors{}": float64(i + 1)}, x.values(), "all gauges are gone, and the errors grow")
	}
	problem = nil
	now = now.Add(time.Minute)
	assert.Contains(t, of(x.values()), "lag", "they come back")
}

func TestAStoreThatHangsDoesNotHoldUpOtherMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // simulated time
		let := make(chan struct{})
		x := newTelescope(t)
		x.config.Now = time.Now
		x.step(x.observer(), batch(), projection.StepEnd{Applied: 5})
		x.register(reader(func(context.Context) ([]projection.Status, error) {
			<-let // takes no notice of its context
			return []projection.Status{titles()}, nil
		}))
		began := time.Now()
		values := x.values()
		assert.Equal(t, 2*time.Second, time.Since(began))
		assert.Contains(t, values, "evident.projection.events.applied{evident.projection.name=titles evident.projection.version=2}")
		assert.NotContains(t, of(values), "lag")
		close(let)
		synctest.Wait()
	})
}

func TestReadersOfMetricsDoNotLoadTheStore(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	var asked atomic.Int64
	now := noon
	x.config.Now = func() time.Time { return now }
	x.register(reader(func(context.Context) ([]projection.Status, error) {
		asked.Add(1)
		return []projection.Status{titles()}, nil
	}))
	for range 5 {
		x.collect()
	}
	assert.Equal(t, int64(1), asked.Load())
	now = now.Add(time.Second)
	x.collect()
	assert.Equal(t, int64(2), asked.Load())
}

func TestUnregisterEndsTheMeasurements(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	unregister, err := projectionotel.Register(x.config, says(titles()))
	require.NoError(t, err)
	require.NotEmpty(t, x.values())
	require.NoError(t, unregister())
	assert.Empty(t, x.values())
	require.NoError(t, unregister(), "twice is once")
}

// TestTelemetry lists everything that is sent: names are a contract with those
// who have drawn dashboards.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	x := newTelescope(t)
	o := x.observer()
	problem := errors.New("down")
	now := noon
	x.config.Now = func() time.Time { return now }
	x.register(reader(func(context.Context) ([]projection.Status, error) { return []projection.Status{titles()}, problem }))
	x.collect()
	now, problem = now.Add(time.Minute), nil
	for _, s := range []projection.Step{batch(), redrive(), order()} {
		x.step(o, s, projection.StepEnd{Applied: 1, Parked: 1, Skipped: 1, Err: errors.New("it rained"), Class: projection.Infrastructure})
	}
	page, err := os.ReadFile("../../docs/watching.md")
	require.NoError(t, err)
	var out strings.Builder
	for _, m := range x.collect() {
		assert.Contains(t, string(page), "| `"+m.Name+"` |", "what is sent is documented")
		fmt.Fprintf(&out, "metric %s\n  %s, unit %s\n  %s\n", m.Name, kindOf(m), m.Unit, m.Description)
		for _, key := range keysOf(t, m) {
			fmt.Fprintf(&out, "  - %s\n", key)
		}
	}
	for _, s := range x.spans.Ended() {
		fmt.Fprintf(&out, "span %s\n  %s, %s\n", s.Name(), s.SpanKind(), s.Status().Code)
		words := s.Attributes()
		slices.SortFunc(words, func(a, b attribute.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
		for _, a := range words {
			fmt.Fprintf(&out, "  - %s = %s (%s)\n", a.Key, a.Value.String(), a.Value.Type())
		}
	}
	golden.Compare(t, []byte(out.String()), "testdata/telemetry.txt")
}

func TestGaugesOfARunner(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{
		projection.New("titles", 2, projection.On(func(context.Context, event.Of[noted]) error { return nil })),
	}})
	require.NoError(t, err)
	require.NoError(t, runner.RunUntilCaughtUp(t.Context()))
	x := newTelescope(t)
	x.config.Now = time.Now
	x.register(runner)
	values := of(x.values())
	assert.InDelta(t, 0, values["lag"], 0)
	assert.InDelta(t, 1, values["state{evident.projection.state=idle}"], 0)
	assert.Less(t, values["heartbeat.age"], 60.0)
}
