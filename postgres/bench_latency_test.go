package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
)

// BenchmarkW6 is the time from the end of an append to a subscriber that waits
// for it and has read the event, at 200 appends a second: in the same process,
// and in another that opens the schema with connections of its own. "p99-ms"
// must stay below "limit-ms".
func BenchmarkW6(b *testing.B) {
	for _, w := range []struct {
		where string
		limit time.Duration
	}{{"same process", 10 * time.Millisecond}, {"another process", 25 * time.Millisecond}} {
		b.Run(w.where, func(b *testing.B) {
			config := newDatabase(b)
			writer := open(b, config)
			reader := writer
			if w.where != "same process" {
				reader = open(b, config)
			}
			delays := followed(b, writer, reader, max(b.N, 1000))
			slices.Sort(delays)
			p50, p99 := delays[len(delays)/2], delays[len(delays)*99/100]
			b.ReportMetric(milliseconds(p50), "p50-ms")
			b.ReportMetric(milliseconds(p99), "p99-ms")
			b.ReportMetric(milliseconds(w.limit), "limit-ms")
			b.ReportMetric(float64(w.limit)/float64(p99), "ratio")
			b.ReportMetric(1, "bar")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// followed appends n events at 200 a second and returns how long each took to
// reach a subscriber.
func followed(b *testing.B, writer, reader *postgres.Store, n int) []time.Duration {
	b.Helper()
	stored, seen := make([]time.Time, n), make([]time.Time, n)
	following := make(chan error, 1)
	go func() { following <- note(b.Context(), reader, seen) }()
	ticks := time.NewTicker(time.Second / 200)
	defer ticks.Stop()
	for i := range n {
		<-ticks.C
		appendTo(b, writer, orders(), 1)
		stored[i] = time.Now()
	}
	require.NoError(b, <-following)
	delays := make([]time.Duration, n)
	for i := range delays {
		delays[i] = max(0, seen[i].Sub(stored[i]))
	}
	return delays
}

// note notes when it has read each event.
func note(ctx context.Context, store eventstore.Store, seen []time.Time) error {
	var last uint64
	for i := 0; i < len(seen); {
		head, err := store.Wait(ctx, last)
		if err != nil {
			return err
		}
		for e, err := range store.ReadAll(ctx, eventstore.Query{After: last, Until: head}) {
			if err != nil {
				return err
			}
			if e.Position > last {
				seen[i] = time.Now()
				i++
			}
		}
		last = head
	}
	return nil
}
