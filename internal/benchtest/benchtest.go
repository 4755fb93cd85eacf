// Package benchtest measures something beside its limit: the least that anybody
// has to do for the same result.
package benchtest

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Turns lets two contestants do n operations each, in short turns, so that a
// machine that is busy now and then is so for both. It returns the times that
// they took.
func Turns(n, turn int, evident, limit func(n int)) (ours, theirs time.Duration) {
	for left := n; left > 0; left -= turn {
		turn = min(turn, left)
		runtime.GC()
		start := time.Now()
		evident(turn)
		ours += time.Since(start)
		runtime.GC()
		start = time.Now()
		limit(turn)
		theirs += time.Since(start)
	}
	return ours, theirs
}

// Medians is like [Turns], but one turn counts for all: the middle one. So a disk
// that stands still once for a second does not count. Who begins changes with
// each turn. It returns what n operations each would take: ours by the median of
// the turns, theirs by the median of the ratios.
func Medians(n, turn int, evident, limit func(n int)) (ours, theirs time.Duration) {
	var each, ratios []float64 // seconds for an operation; their time by ours
	timed := func(f func(n int), n int) float64 {
		start := time.Now()
		f(n)
		return time.Since(start).Seconds()
	}
	for left := n; left > 0; left -= turn {
		turn = min(turn, left)
		runtime.GC()
		var our, their float64
		if len(each)%2 == 0 {
			our, their = timed(evident, turn), timed(limit, turn)
		} else {
			their, our = timed(limit, turn), timed(evident, turn)
		}
		each, ratios = append(each, our/float64(turn)), append(ratios, their/our)
	}
	took := median(each) * float64(n)
	return seconds(took), seconds(took * median(ratios))
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Report prints how near evident comes to the limit, and the bar below which
// the Makefile's benchmarks fail; 0 for none.
func Report(b *testing.B, n int, bar float64, ours, theirs time.Duration) {
	b.Helper()
	b.ReportMetric(float64(theirs)/float64(ours), "ratio")
	if bar > 0 {
		b.ReportMetric(bar, "bar")
	}
	b.ReportMetric(float64(n)/ours.Seconds(), "evident/s")
	b.ReportMetric(float64(n)/theirs.Seconds(), "limit/s")
	b.ReportMetric(0, "ns/op")
}

// Together does n operations from several goroutines.
func Together(b *testing.B, goroutines, n int, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
