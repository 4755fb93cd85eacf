package aggregate

import (
	"time"

	"github.com/evident-go/evident/event"
)

// Defaults of [Config].
const (
	DefaultMaxAttempts   = 10
	DefaultMinBackoff    = 5 * time.Millisecond
	DefaultMaxBackoff    = 500 * time.Millisecond
	DefaultSnapshotEvery = 100 // events
)

// Config is how a [Repository] works. The zero value is ready to use.
type Config struct {
	// Now is the clock that events are stamped with. Default [time.Now].
	Now func() time.Time

	// MaxAttempts bounds how often [Repository.Update] appends, the first time
	// included. Default [DefaultMaxAttempts].
	MaxAttempts int
	// MinBackoff bounds the first pause after a conflict, which is random
	// between 0 and it; the bound doubles with each pause. Default
	// [DefaultMinBackoff].
	MinBackoff time.Duration
	// MaxBackoff bounds the last pauses. Default [DefaultMaxBackoff].
	MaxBackoff time.Duration

	// CacheSize is how many aggregates are kept in memory. A load then reads
	// only what is newer than that. States that hold maps, slices or pointers
	// should have a Clone method, see [Cloner]; without one each use encodes or
	// decodes the state. Default 0: no cache.
	CacheSize int

	// Snapshots keeps states, so that a load need not replay all events.
	// Default nil: no snapshots.
	Snapshots SnapshotStore
	// SnapshotPolicy says after which saves one is taken. Default
	// EveryEvents(DefaultSnapshotEvery).
	SnapshotPolicy SnapshotPolicy
}

// Validate refuses negative values; the error is an [*event.InvalidError] that
// names the field.
func (c Config) Validate() error {
	for _, limit := range []struct {
		field string
		value int64
	}{
		{"max_attempts", int64(c.MaxAttempts)},
		{"min_backoff", int64(c.MinBackoff)},
		{"max_backoff", int64(c.MaxBackoff)},
		{"cache_size", int64(c.CacheSize)},
	} {
		if limit.value < 0 {
			return &event.InvalidError{Field: limit.field, Reason: "must not be negative; 0 means the default"}
		}
	}
	if d := c.orDefault(); d.MaxBackoff < d.MinBackoff {
		return &event.InvalidError{Field: "max_backoff", Value: d.MaxBackoff.String(), Reason: "must not be below min_backoff, which is " + d.MinBackoff.String()}
	}
	if c.SnapshotPolicy != nil && c.Snapshots == nil {
		return &event.InvalidError{Field: "snapshots", Reason: "must be set for a snapshot policy"}
	}
	return nil
}

func (c Config) orDefault() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = DefaultMaxAttempts
	}
	if c.MinBackoff == 0 {
		c.MinBackoff = DefaultMinBackoff
	}
	if c.MaxBackoff == 0 {
		c.MaxBackoff = DefaultMaxBackoff
	}
	if c.SnapshotPolicy == nil {
		c.SnapshotPolicy = EveryEvents(DefaultSnapshotEvery)
	}
	return c
}
