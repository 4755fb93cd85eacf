package benchtest

import (
	"os"
	"strconv"
	"testing"
)

// largeVariable must be set for benchmarks that fill a store for minutes; its
// value may be how many events.
const largeVariable = "EVIDENT_LARGE"

// Large returns how many events a benchmark is to fill a store with, usual unless
// somebody has said otherwise. It fails if nobody has asked for a large one, as a
// target of the Makefile does.
func Large(b *testing.B, target string, usual int) int {
	b.Helper()
	given := os.Getenv(largeVariable)
	if given == "" {
		b.Fatalf("run make %s, which sets %s", target, largeVariable)
	}
	if n, err := strconv.Atoi(given); err == nil && n > 1 {
		return n
	}
	return usual
}
