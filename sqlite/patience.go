package sqlite

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 100 * time.Microsecond
	// A process that writes all the time leaves gaps of a few microseconds
	// only. Looking often is what finds one: each look costs about as much.
	longestPause = time.Millisecond
)

// waitOurselves turns off SQLite's own waiting for locks, see [patiently].
func waitOurselves(ctx context.Context, c *connection) error {
	return c.exec(ctx, "PRAGMA busy_timeout = 0")
}

// patiently calls f until it no longer finds the file locked by somebody else,
// or until the timeout or ctx ends. SQLite's own waiting would block a whole
// thread, would not notice that ctx ends, and its pauses grow to a tenth of a
// second, which starves whoever competes with a busy process.
func patiently(ctx context.Context, timeout time.Duration, f func() error) error {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	pause := firstPause
	for {
		err := f()
		if !isBusy(err) {
			return err
		}
		again := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-again.C:
			pause = min(2*pause, longestPause)
		case <-limit.C:
			again.Stop()
			return err
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
	}
}
