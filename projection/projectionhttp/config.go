package projectionhttp

import (
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// Config is what a [Handler] answers from. Only Status is required.
type Config struct {
	// Status says where projections stand: a [*projection.Runner]. If it is a
	// [projection.Pulser] too, liveness is told without the store.
	Status projection.StatusReader
	// Health is what is tolerated. Default: see there.
	Health projection.Health
	// Timeout is how long the store may take to answer; whoever probes should
	// wait longer. Default 2 s.
	Timeout time.Duration
	// Keep is for how long an answer of the store is given again. Default 1 s.
	Keep time.Duration
	// Logger is told when a verdict changes. Default: none.
	Logger *zap.Logger
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Validate checks everything that [New] would refuse. The error, an
// [*event.InvalidError], names the field.
func (c Config) Validate() error {
	switch {
	case c.Status == nil:
		return &event.InvalidError{Field: "status", Reason: "must be set: a *projection.Runner is one"}
	case c.Timeout < 0:
		return &event.InvalidError{Field: "timeout", Reason: "must not be negative; 0 means the default"}
	case c.Keep < 0:
		return &event.InvalidError{Field: "keep", Reason: "must not be negative; 0 means the default"}
	}
	return c.Health.Validate()
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
