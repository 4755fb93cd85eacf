package scale

// Point is one measurement: what so many writers reach together, each of which
// sends the next append when the last one is answered.
type Point struct {
	Writers int
	Rate    float64 // appends a second
}

// Curve is what a partition serves, by how many appends are in progress: points
// in the order of writers, the first of which has one. Queueing theory calls a
// server with such a curve, measured in a closed loop, flow-equivalent.
type Curve []Point

// Rate returns how many appends a second are served while n are in progress.
// Between two points the time that n appends take together is a straight line.
// Beyond the last point nothing was measured, and nothing is gained.
func (c Curve) Rate(n int) float64 {
	if n <= 0 {
		return 0
	}
	last := c[len(c)-1]
	if n >= last.Writers {
		return last.Rate
	}
	for i := 1; i < len(c); i++ {
		if low, high := c[i-1], c[i]; n < high.Writers {
			share := float64(n-low.Writers) / float64(high.Writers-low.Writers)
			return float64(n) / (low.round() + share*(high.round()-low.round()))
		}
	}
	return last.Rate
}

// Alone is the rate of one writer who waits for each answer: no aggregate can be
// appended to more often than that, whatever the number of partitions.
func (c Curve) Alone() float64 { return c[0].Rate }

// Most is the highest rate that was measured.
func (c Curve) Most() float64 { return c[len(c)-1].Rate }

// Widest is the largest number of writers that was measured.
func (c Curve) Widest() int { return c[len(c)-1].Writers }

// round is how long one append of each writer takes, in seconds.
func (p Point) round() float64 { return float64(p.Writers) / p.Rate }
