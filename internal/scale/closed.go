package scale

// Expected returns the mean time of an append in a [Queue] with exponential work
// and no outage, in seconds, worked out and not played: the stationary state of
// a birth and death process whose deaths have the curve's rates. Arrivals must
// be fewer than the curve's highest rate.
//
// Source: Kleinrock, Queueing Systems, volume 1, chapter 3; the mean time by
// Little's law.
func (c Curve) Expected(arrivals float64) float64 {
	weight, total, appends := 1.0, 1.0, 0.0 // of the state with n appends, with 0 first
	for n := 1; n < c.Widest(); n++ {
		weight *= arrivals / c.Rate(n)
		total += weight
		appends += float64(n) * weight
	}
	// From here on each state is a fixed share of the one before it.
	share, first := arrivals/c.Most(), float64(c.Widest())
	weight *= share
	total += weight / (1 - share)
	appends += weight * (first/(1-share) + share/((1-share)*(1-share)))
	return appends / total / arrivals
}
