package audit

import (
	"context"
	"fmt"
	"iter"

	"github.com/evident-go/evident/eventstore"
)

// Verify compares what a home has stored with what its events say: it derives
// every record anew and lists the first most differences, and counts all. It
// changes nothing, holds one record of each side at a time, and may run beside
// a runner. config must be that of the home.
//
//	checkpoint, err := store.Checkpoints().Load(ctx, key) // or Runner.Status
//	…
//	comparison, err := audit.Verify(ctx, auditLog, store, audit.Config{}, checkpoint.Position, 10)
//
// A home that lags has no fault: what it lacks at its end will come. Its
// checkpoint says how far it must have come, and asOf is where that stood
// before the call: up to there every record must be there, and be what its
// event says. What the home has beyond that is compared, too. With 0, the log is
// compared up to its own last record; then nobody can tell records that were
// taken off its end from those that have not come yet.
//
// An event that was parked has no record, and is reported as missing, "only in
// the second". That is the side of the events in every difference.
func Verify(ctx context.Context, home Finder, events eventstore.Store, config Config, asOf uint64, most int) (Comparison, error) {
	stored := NewReader(home)
	last, err := lastOf(stored.Find(ctx, Query{Page: Page{Limit: 1}}), ActivityRecord.Position)
	if err != nil {
		return Comparison{}, err
	}
	end := max(asOf, last)
	return Compare(ctx, stored.AsOf(end), Replay(events, config).AsOf(end), most)
}

// VerifyActivities is [Verify] for the feeds of actors.
func VerifyActivities(ctx context.Context, home ActivityFinder, events eventstore.Store, asOf uint64, most int) (Comparison, error) {
	stored := NewActivityReader(home)
	last, err := lastOf(stored.FindActivities(ctx, ActivityQuery{Page: Page{Limit: 1}}), func(a Activity) uint64 { return a.Position })
	if err != nil {
		return Comparison{}, err
	}
	end := max(asOf, last)
	return CompareActivities(ctx, stored.AsOf(end), ReplayActivities(events).AsOf(end), most)
}

// lastOf returns the position of the first item, 0 if there is none.
func lastOf[T any](items iter.Seq2[T, error], position func(T) uint64) (uint64, error) {
	for item, err := range items {
		if err != nil {
			return 0, fmt.Errorf("verify: last record: %w", err)
		}
		return position(item), nil
	}
	return 0, nil
}
