package scale

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Work is how the time differs that one append needs.
type Work int

const (
	// Exponential work has no memory: the usual, and a cautious, assumption.
	Exponential Work = iota
	// Constant work is the same for every append.
	Constant
)

// Outage is a time in which nothing is served, in seconds from the start.
type Outage struct{ From, To float64 }

// Queue is one partition. Appends arrive at random (Poisson), whoever may have
// sent them, and are served in their order. Nobody gives up and nobody sends twice.
type Queue struct {
	Curve    Curve
	Arrivals float64 // a second
	Work     Work
	Outages  []Outage // in their order, not overlapping
	Warmup   int      // the first appends, which are not counted
	Count    int      // appends that are counted
	Seed     uint64
}

// Times are how long appends took, from arrival to answer.
type Times struct {
	sorted []float64 // seconds
	// InSystem is the mean number of appends in progress or waiting.
	InSystem float64
	// Longest is the largest such number.
	Longest int
	// Recovered is when, after the last outage, no more appends were there than
	// the curve has points for. It is 0 if there was no outage.
	Recovered float64
}

// Mean returns the mean time in seconds.
func (t Times) Mean() float64 {
	sum := 0.0
	for _, s := range t.sorted {
		sum += s
	}
	return sum / float64(len(t.sorted))
}

// Quantile returns the time that a share of all appends stays below, in seconds.
func (t Times) Quantile(share float64) float64 {
	at := int(math.Ceil(share*float64(len(t.sorted)))) - 1
	return t.sorted[min(max(at, 0), len(t.sorted)-1)]
}

// Max returns the longest time, in seconds.
func (t Times) Max() float64 { return t.sorted[len(t.sorted)-1] }

// Over returns how many appends took longer than so many seconds.
func (t Times) Over(limit float64) int {
	at, _ := slices.BinarySearch(t.sorted, math.Nextafter(limit, math.Inf(1)))
	return len(t.sorted) - at
}

// Run plays the queue until the last append that is counted is answered.
func (q Queue) Run() Times {
	r := run{Queue: q, random: rand.New(rand.NewPCG(q.Seed, 0)), times: Times{sorted: make([]float64, 0, q.Count)}}
	for n := range q.Curve.Widest() + 1 {
		r.rates = append(r.rates, q.Curve.Rate(n))
	}
	r.arrival = r.gap()
	for len(r.times.sorted) < q.Count {
		r.step()
	}
	r.times.InSystem = r.area / r.now
	slices.Sort(r.times.sorted)
	return r.times
}

// run is a queue while it is played.
type run struct {
	Queue

	random  *rand.Rand
	now     float64
	arrival float64   // when the next append comes
	waiting []float64 // when those arrived that are not answered, oldest first
	left    float64   // work of the oldest that is still to do; 1 is the mean
	served  int
	area    float64   // appends in the system, summed over time
	rates   []float64 // the curve, by appends in progress, up to the last point
	times   Times
}

// step goes on to what happens next: an arrival, an answer, or the begin or end
// of an outage.
func (r *run) step() {
	rate, change := r.rate()
	answer := math.Inf(1)
	if rate > 0 {
		answer = r.now + r.left/rate
	}
	next := min(r.arrival, answer, change)
	r.area += float64(len(r.waiting)) * (next - r.now)
	r.left -= rate * (next - r.now)
	r.now = next
	switch next {
	case answer:
		r.answer()
	case r.arrival:
		r.arrive()
	}
	r.recover()
}

// rate returns how fast appends are served now, and when that may change by
// itself.
func (r *run) rate() (rate, change float64) {
	serving := r.rates[min(len(r.waiting), len(r.rates)-1)]
	for _, o := range r.Outages {
		if r.now < o.From {
			return serving, o.From
		}
		if r.now < o.To {
			return 0, o.To
		}
	}
	return serving, math.Inf(1)
}

func (r *run) arrive() {
	if len(r.waiting) == 0 {
		r.left = r.work()
	}
	r.waiting = append(r.waiting, r.now)
	r.times.Longest = max(r.times.Longest, len(r.waiting))
	r.arrival = r.now + r.gap()
}

func (r *run) answer() {
	took := r.now - r.waiting[0]
	r.waiting = r.waiting[1:]
	if r.served++; r.served > r.Warmup {
		r.times.sorted = append(r.times.sorted, took)
	}
	r.left = r.work()
}

// recover notes when the backlog of the last outage is gone.
func (r *run) recover() {
	if len(r.Outages) == 0 || r.times.Recovered > 0 {
		return
	}
	if last := r.Outages[len(r.Outages)-1]; r.now > last.To && len(r.waiting) <= r.Curve.Widest() {
		r.times.Recovered = r.now
	}
}

func (r *run) gap() float64 { return r.random.ExpFloat64() / r.Arrivals }

func (r *run) work() float64 {
	if r.Work == Constant {
		return 1
	}
	return r.random.ExpFloat64()
}
