package process

import (
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

// Config is how a [Manager] works. The zero value is ready on a store that is
// also a [projection.Store], as every store of this module is.
type Config struct {
	// Instances is how instances are loaded and saved: attempts, cache,
	// snapshots. Its clock, if none is set, is Now.
	Instances aggregate.Config

	// Progress is where it is kept who looks after timeouts, and how far back
	// those that are waited for reach. Default: the event store's own.
	Progress projection.Progress
	// Owner names this manager in leases. It must be unique: two of one name take
	// each other for themselves. Default: host, process id, random.
	Owner string
	// LeaseTTL is how long another process waits before it takes over the
	// timeouts of one that is gone. It is renewed at a third of it. Default 10 s.
	LeaseTTL time.Duration

	// Logger gets what operators need to see. Default: none.
	Logger *zap.Logger
	// Now is the clock by which timeouts are set and come. Default [time.Now].
	Now func() time.Time
}

// Validate checks everything that does not depend on the store. The error names
// the field.
func (c Config) Validate() error {
	if c.LeaseTTL < 0 {
		return &event.InvalidError{Field: "lease_ttl", Reason: "must not be negative; 0 means the default"}
	}
	if err := event.ValidateText("owner", c.Owner, lease.MaxNameBytes); err != nil {
		return err
	}
	return c.Instances.Validate()
}

func (c Config) withDefaults(store eventstore.Store) (Config, error) {
	if c.Progress == nil {
		progress, ok := store.(projection.Progress)
		if !ok {
			return c, &event.InvalidError{Field: "progress", Reason: fmt.Sprintf("must be set: the event store (%T) has no place for leases", store)}
		}
		c.Progress = progress
	}
	if c.Owner == "" {
		c.Owner = defaultOwner()
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Instances.Now == nil {
		c.Instances.Now = c.Now
	}
	return c, nil
}

func defaultOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString()[:8])
}
