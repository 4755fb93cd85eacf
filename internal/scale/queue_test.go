package scale_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/internal/scale"
)

// single serves one append at a time, whatever waits: the server of M/M/1 and
// M/D/1.
func single(rate float64) scale.Curve { return scale.Curve{{Writers: 1, Rate: rate}} }

// parallel serves as many appends side by side, each at the same rate: M/M/c.
func parallel(servers int, rate float64) scale.Curve {
	return scale.Curve{{Writers: 1, Rate: rate}, {Writers: servers, Rate: float64(servers) * rate}}
}

// near is how far a play of 400,000 appends may be from the truth.
const near = 0.03

func played(curve scale.Curve, arrivals float64, work scale.Work) scale.Times {
	return scale.Queue{Curve: curve, Arrivals: arrivals, Work: work, Warmup: 20_000, Count: 400_000, Seed: 7}.Run()
}

func TestQueueIsMM1(t *testing.T) {
	t.Parallel()
	for _, used := range []float64{0.2, 0.5, 0.8} {
		const rate = 1000.0
		times := played(single(rate), used*rate, scale.Exponential)
		free := rate - used*rate
		assert.InEpsilon(t, 1/free, times.Mean(), near, "mean at %v", used)
		assert.InEpsilon(t, math.Ln2/free, times.Quantile(0.5), near, "median at %v", used)
		assert.InEpsilon(t, math.Log(100)/free, times.Quantile(0.99), near, "99 of 100 at %v", used)
	}
}

func TestQueueIsMD1(t *testing.T) {
	t.Parallel()
	for _, used := range []float64{0.2, 0.5, 0.8} {
		const rate = 1000.0
		times := played(single(rate), used*rate, scale.Constant)
		pollaczekKhinchine := 1/rate + used/(2*rate*(1-used))
		assert.InEpsilon(t, pollaczekKhinchine, times.Mean(), near, "mean at %v", used)
	}
}

func TestQueueIsMMC(t *testing.T) {
	t.Parallel()
	const servers, rate = 8, 500.0
	for _, used := range []float64{0.3, 0.7, 0.9} {
		arrivals := used * servers * rate
		want := erlangC(servers, arrivals/rate)/(servers*rate-arrivals) + 1/rate
		assert.InEpsilon(t, want, parallel(servers, rate).Expected(arrivals), 1e-9, "worked out at %v", used)
		assert.InEpsilon(t, want, played(parallel(servers, rate), arrivals, scale.Exponential).Mean(), near, "played at %v", used)
	}
}

// erlangC returns the share of arrivals that have to wait for a server.
func erlangC(servers int, offered float64) float64 {
	term, sum := 1.0, 0.0
	for n := range servers {
		sum += term
		term *= offered / float64(n+1)
	}
	last := term * float64(servers) / (float64(servers) - offered)
	return last / (sum + last)
}

func TestExpectedIsMM1WhereTheCurveIsOnePoint(t *testing.T) {
	t.Parallel()
	assert.InEpsilon(t, 1.0/300, single(1000).Expected(700), 1e-9)
}

func TestQueueIsTheBirthAndDeathProcessOfWhatWasMeasured(t *testing.T) {
	t.Parallel()
	for _, e := range scale.Engines() {
		for _, used := range []float64{0.1, 0.5, 0.9} {
			arrivals := used * e.Curve.Most()
			assert.InEpsilon(t, e.Curve.Expected(arrivals), played(e.Curve, arrivals, scale.Exponential).Mean(), near, "%s at %v", e.Name, used)
		}
	}
}

func TestQueueKeepsLittlesLaw(t *testing.T) {
	t.Parallel()
	curve := scale.Engines()[1].Curve
	times := played(curve, 0.7*curve.Most(), scale.Exponential)
	assert.InEpsilon(t, times.InSystem, 0.7*curve.Most()*times.Mean(), near)
}

func TestQueueWorksOffABacklog(t *testing.T) {
	t.Parallel()
	const rate, arrivals, from, pause = 10_000.0, 6_000.0, 5.0, 4.0
	times := scale.Queue{
		Curve: single(rate), Arrivals: arrivals, Outages: []scale.Outage{{From: from, To: from + pause}}, Count: 200_000, Seed: 7,
	}.Run()
	gone := from + pause + pause*arrivals/(rate-arrivals) // what has come in the pause, at the rate that is left over
	assert.InEpsilon(t, gone, times.Recovered, near)
	assert.InEpsilon(t, pause*arrivals, times.Longest, near)
	assert.InDelta(t, pause, times.Max(), 0.1, "who comes first in an outage waits longest")
	// Waiting times fall from the pause to nothing, evenly, over all who came until the backlog was gone.
	assert.InEpsilon(t, (gone-from)*arrivals*(pause-1)/pause, times.Over(1), near)
	assert.Zero(t, times.Over(pause+0.1))
}

func TestQueueWithSeveralOutages(t *testing.T) {
	t.Parallel()
	times := scale.Queue{
		Curve: single(1000), Arrivals: 100, Outages: []scale.Outage{{From: 0, To: 2}, {From: 10, To: 11}}, Count: 3000, Seed: 7,
	}.Run()
	assert.InDelta(t, 11.1, times.Recovered, 0.1)
	assert.InDelta(t, 2, times.Max(), 0.1)
}

func TestQueueSaysTheSameAgain(t *testing.T) {
	t.Parallel()
	q := scale.Queue{Curve: single(1000), Arrivals: 500, Count: 1000, Seed: 1}
	other := q
	other.Seed = 2
	first, again := q.Run(), q.Run()
	assert.Equal(t, first, again)
	assert.NotEqual(t, first, other.Run())
}

func TestCurveGoesThroughWhatWasMeasured(t *testing.T) {
	t.Parallel()
	for _, e := range scale.Engines() {
		for _, p := range e.Curve {
			assert.InDelta(t, p.Rate, e.Curve.Rate(p.Writers), 1e-6, "%s, %d writers", e.Name, p.Writers)
		}
		for n := range 80 {
			assert.LessOrEqual(t, e.Curve.Rate(n), e.Curve.Rate(n+1), "%s, %d writers", e.Name, n)
		}
		assert.Zero(t, e.Curve.Rate(0))
		assert.InDelta(t, e.Curve.Most(), e.Curve.Rate(1_000_000), 0, "beyond the last point nothing is gained")
	}
}

func TestCurveBetweenTwoPoints(t *testing.T) {
	t.Parallel()
	curve := scale.Curve{{Writers: 1, Rate: 100}, {Writers: 3, Rate: 150}} // 10 ms alone, 20 ms for three
	assert.InDelta(t, 2/0.015, curve.Rate(2), 1e-9)
}
