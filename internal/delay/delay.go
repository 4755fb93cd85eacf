// Package delay waits for a time, or until nobody wants it to any more.
package delay

import (
	"context"
	"time"
)

// For waits for d or for the end of ctx, whichever comes first, and returns ctx's
// error in the second case.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
