package jetstream

import (
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
)

// Config says where a store of events is, and how it behaves. The zero value is
// ready. Give the same one to [Provision] and [Open].
type Config struct {
	// Prefix is how all subjects of the store begin, and names its stream: that
	// of "evident" is EVIDENT and takes everything below "evident.e". At most 64
	// bytes. Default "evident".
	Prefix string
	// Replicas is on how many servers the stream is kept, 1 to 5. Default 1; three
	// is what survives the loss of a server.
	Replicas int
	// TenantID binds the store to one tenant, as [eventstore.BindTenant] does.
	// Default: it takes all.
	TenantID event.TenantID
	// DuplicateWindow is for how long the server knows an event's id again
	// wherever it is sent. After that it is known at its version only. The server
	// keeps about 120 bytes of memory for each id. Default 10 min.
	DuplicateWindow time.Duration

	// PublishTimeout is how long the server may take for one answer before it is
	// asked again. Default 1 s.
	PublishTimeout time.Duration
	// PollInterval is how often Wait looks by itself, in case that nobody told it
	// of an append. Default 1 s.
	PollInterval time.Duration
	// Logger gets what operators need to see. Default: none.
	Logger *zap.Logger
	// Now is the store's clock. Default [time.Now], and for leases, which several
	// processes share, the server's. It must be safe for concurrent use.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	setDefault(&c.Prefix, "evident")
	setDefault(&c.Replicas, 1)
	setDefault(&c.DuplicateWindow, 10*time.Minute)
	setDefault(&c.PublishTimeout, time.Second)
	setDefault(&c.PollInterval, time.Second)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate checks everything that [Open] and [Provision] would refuse without
// asking the server. The error, an [*event.InvalidError] or
// [*event.TooLargeError], names the field.
func (c Config) Validate() error {
	c = c.withDefaults()
	if err := validatePrefix(c.Prefix); err != nil {
		return err
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return &event.InvalidError{Field: "replicas", Reason: "must be 1 to 5"}
	}
	if err := c.TenantID.Validate(); err != nil {
		return err
	}
	for _, d := range []struct {
		field string
		value time.Duration
		least time.Duration
	}{
		{"duplicate_window", c.DuplicateWindow, 100 * time.Millisecond},
		{"publish_timeout", c.PublishTimeout, time.Millisecond},
		{"poll_interval", c.PollInterval, time.Millisecond},
	} {
		if d.value < d.least {
			return &event.InvalidError{Field: d.field, Value: d.value.String(), Reason: "must be at least " + d.least.String()}
		}
	}
	return nil
}

// progress says where the progress of projections is kept. Without a clock of its
// own it takes the server's, so that leases end at one time for all processes.
func (c Config) progress() progressConfig {
	now := c.Now
	c = c.withDefaults()
	return progressConfig{prefix: c.Prefix, replicas: c.Replicas, timeout: c.PublishTimeout, now: now, logger: c.Logger}
}

// stream returns the name of the stream of events.
func (c Config) stream() string {
	return strings.ReplaceAll(strings.ToUpper(c.Prefix), ".", "_")
}
