package transfer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore/transfer"
)

// BenchmarkCopy copies 50,000 events or so, and verifies them once more.
func BenchmarkCopy(b *testing.B) {
	from := map[string]transfer.Target{"memory": inMemory(b), "sqlite": onSQLite(b), "postgres": onPostgreSQL(b), "jetstream": onJetStream(b)}
	fill(b, from["memory"], 25_000)
	copyAll(b, from["memory"], from["sqlite"])
	copyAll(b, from["memory"], from["postgres"])
	copyAll(b, from["memory"], from["jetstream"])
	into := map[string]func(testing.TB) transfer.Target{
		"memory":    func(tb testing.TB) transfer.Target { tb.Helper(); return inMemory(tb) },
		"sqlite":    func(tb testing.TB) transfer.Target { tb.Helper(); return onSQLite(tb) },
		"postgres":  func(tb testing.TB) transfer.Target { tb.Helper(); return onPostgreSQL(tb) },
		"jetstream": func(tb testing.TB) transfer.Target { tb.Helper(); return onJetStream(tb) },
	}
	for _, c := range [][2]string{{"memory", "memory"}, {"sqlite", "postgres"}, {"postgres", "sqlite"}, {"postgres", "jetstream"}, {"jetstream", "sqlite"}} {
		b.Run(c[0]+" to "+c[1], func(b *testing.B) {
			var events uint64
			for b.Loop() {
				b.StopTimer()
				target := into[c[1]](b)
				b.StartTimer()
				events += copyAll(b, from[c[0]], target).Digest.Events
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
		b.Run("verify "+c[0]+" and "+c[1], func(b *testing.B) {
			target := into[c[1]](b)
			events := copyAll(b, from[c[0]], target).Digest.Events
			for b.Loop() {
				_, err := transfer.Verify(b.Context(), from[c[0]], target, transfer.VerifyConfig{})
				require.NoError(b, err)
			}
			b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
