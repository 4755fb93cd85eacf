package sqlite_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/eventstore"
)

// BenchmarkReplayMemory replays a million events into a counter and reports by
// how much the process grew at the most; the bar is 64 MiB.
func BenchmarkReplayMemory(b *testing.B) {
	const events = 1_000_000
	store := newStore(b)
	seed(b, store, events)
	for b.Loop() {
		before := resident(b)
		counts, most := make(map[string]int), uint64(0)
		for e, err := range store.ReadAll(b.Context(), eventstore.Query{}) {
			if err != nil {
				b.Fatal(err)
			}
			if counts[e.Type]++; e.Position%10_000 == 0 {
				most = max(most, resident(b))
			}
		}
		require.Equal(b, events, counts["OrderPlaced"])
		growth := float64(max(most, before)-before) / (1 << 20)
		b.ReportMetric(growth, "MiB-growth")
		require.Less(b, growth, 64.0, "MiB above the start")
	}
}

// resident returns how much memory the process has from the system, in bytes:
// Go's heap and SQLite's together.
func resident(tb testing.TB) uint64 {
	tb.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	require.NoError(tb, err)
	pages, err := strconv.ParseUint(strings.Fields(string(statm))[1], 10, 64)
	require.NoError(tb, err)
	return pages * uint64(os.Getpagesize())
}
