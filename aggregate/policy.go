package aggregate

import (
	"sync/atomic"
	"time"
)

// Saved is what a [SnapshotPolicy] decides on.
type Saved struct {
	Before, After uint64        // the aggregate's versions before and after the save
	Base          uint64        // version of the snapshot or cache entry that its load began with; 0 if none
	LoadTook      time.Duration // how long its load took; 0 if it is new or a snapshot was taken since
}

// SnapshotPolicy reports whether a snapshot is to be taken after a save. It
// must be safe for concurrent use.
type SnapshotPolicy func(Saved) bool

// EveryEvents takes a snapshot whenever the version passes a multiple of n.
func EveryEvents(n uint64) SnapshotPolicy {
	n = max(n, 1)
	return func(s Saved) bool { return s.Before/n < s.After/n }
}

// SlowerThan takes a snapshot of aggregates whose load took d or more: those
// for which it is worth it, however many events they have.
func SlowerThan(d time.Duration) SnapshotPolicy {
	return func(s Saved) bool { return s.LoadTook > 0 && s.LoadTook >= d }
}

// SnapshotStats counts what became of snapshots. Those of a load that were not
// used are counted by the reason; the load replayed all events instead.
type SnapshotStats struct {
	Used        uint64 // loads that began with a snapshot
	Missing     uint64 // there was none
	Stale       uint64 // it has another schema version than the definition
	Foreign     uint64 // it was taken of another event store
	Ahead       uint64 // it is newer than the stream
	Undecodable uint64 // its bytes are not a state
	Unreadable  uint64 // the snapshot store failed

	Written     uint64 // snapshots that were stored
	Failed      uint64 // snapshots that the snapshot store refused
	Unencodable uint64 // states that do not encode, or not without loss
	Dropped     uint64 // snapshots that gave way to a newer one, to too many others, or to Close
}

// counts is SnapshotStats while it is counted.
type counts struct {
	used, missing, stale, foreign, ahead, undecodable, unreadable atomic.Uint64
	written, failed, unencodable, dropped                         atomic.Uint64
}

func (c *counts) stats() SnapshotStats {
	return SnapshotStats{
		Used: c.used.Load(), Missing: c.missing.Load(), Stale: c.stale.Load(), Foreign: c.foreign.Load(),
		Ahead: c.ahead.Load(), Undecodable: c.undecodable.Load(), Unreadable: c.unreadable.Load(),
		Written: c.written.Load(), Failed: c.failed.Load(), Unencodable: c.unencodable.Load(), Dropped: c.dropped.Load(),
	}
}
