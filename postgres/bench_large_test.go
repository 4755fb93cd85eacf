package postgres_test

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/benchtest"
	"github.com/evident-go/evident/postgres"
)

// BenchmarkLarge compares appends to a store of millions of events with appends
// to an empty one, in turns, and measures how much memory a replay of them
// takes.
func BenchmarkLarge(b *testing.B) {
	events := benchtest.Large(b, "bench-postgres-large", 5_000_000)
	large, empty := newStore(b), newStore(b)
	begun := time.Now()
	seed(b, large, events)
	seeding := time.Since(begun)
	execIn(b, large, "ANALYZE evident.events")
	for _, goroutines := range []int{1, 64} {
		b.Run("append/goroutines="+strconv.Itoa(goroutines), func(b *testing.B) {
			save := func(store *postgres.Store) func() error {
				return func() error {
					_, err := store.Append(b.Context(), eventstore.Append{Stream: orders(), Expected: eventstore.NoStream(), Events: newOrders(1)})
					return err
				}
			}
			const appends, turn = 20_000, 1000
			ours, theirs := benchtest.Turns(appends, turn, func(n int) {
				benchtest.Together(b, goroutines, n, save(large))
			}, func(n int) {
				benchtest.Together(b, goroutines, n, save(empty))
			})
			benchtest.Report(b, appends, 0.8, ours, theirs)
		})
	}
	b.Run("replay", func(b *testing.B) {
		seen, peak := 0, uint64(0)
		debug.FreeOSMemory()
		before := taken()
		begun := time.Now()
		for _, err := range large.ReadAll(b.Context(), eventstore.Query{}) {
			require.NoError(b, err)
			if seen++; seen%1000 == 0 {
				peak = max(peak, taken())
			}
		}
		lasted := time.Since(begun)
		require.GreaterOrEqual(b, seen, events)
		growth := float64(peak-min(peak, before)) / (1 << 20)
		b.ReportMetric(growth, "MiB-growth")
		b.ReportMetric(float64(seen)/lasted.Seconds(), "events/s")
		b.ReportMetric(float64(events)/seeding.Seconds(), "imported/s")
		b.ReportMetric(0, "ns/op")
		require.Less(b, growth, 64.0, "MiB")
	})
}

// taken returns how much memory the process has from the system.
func taken() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}
