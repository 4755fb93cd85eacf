package jetstream

import (
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// PublisherConfig says what is published where. The zero value is ready. Give
// the same one to [ProvisionStream] and [NewPublisher].
type PublisherConfig struct {
	// Stream is the name of the stream. Default "AUDIT".
	Stream string
	// Prefix is how all subjects begin; the stream takes everything below it.
	// At most 64 bytes. Default "audit.v1".
	Prefix string
	// Replicas is on how many servers the stream is kept, 1 to 5. Default 1;
	// three is what survives the loss of a server.
	Replicas int
	// DuplicateWindow is for how long the server knows a message's id again.
	// It should be longer than the longest time for which a publisher may be
	// down. The server keeps about 120 bytes of memory for each id. Default 1 h.
	DuplicateWindow time.Duration
	// MaxAge removes messages that are older, whether or not anybody has read
	// them. Default: they are kept for ever.
	MaxAge time.Duration

	// Name is the projection's name. Default "activity_publisher".
	Name string
	// Version is the projection's version; a new one publishes everything again,
	// from the first event. What the server still remembers, from within the
	// DuplicateWindow, it does not store again. Default 1.
	Version int
	// Types are the types of event that are published. Default: all.
	Types []string
	// Map turns an event into a message; false publishes nothing for it. It must
	// depend on nothing but the event and be safe for concurrent use. An error
	// is the event's fault; what has the Order of the message beside it waits
	// behind it. Default: the event's record as ActivityRecorded v1.
	Map func(e event.Event) (Message, bool, error)

	// Record says how events become records, as for the audit log.
	Record audit.Config
	// Full publishes whole records, with metadata, description, purpose, reason,
	// request and ids as they are. Whoever may read the stream then reads
	// personal data, and nothing can remove it. Default: thin.
	Full bool
	// Source names this log among those that a reader knows: a URI or a path; a
	// tenant's is this, "/" and the tenant's token. Default "/audit".
	Source string
	// TypePrefix is how the type of the CloudEvent begins, a domain name
	// backwards. Default "evident", which gives "evident.audit.activity.recorded.v1".
	TypePrefix string
	// SchemaURL is the dataschema of messages. Default [ActivityRecordedSchemaURL].
	SchemaURL string

	// Window is how many messages may be on their way at a time, of one order
	// each. Default 64.
	Window int
	// PublishTimeout is how long the server may take to acknowledge a message
	// before it is sent again. Default 2 s.
	PublishTimeout time.Duration
}

func (c PublisherConfig) withDefaults() PublisherConfig {
	setDefault(&c.Stream, "AUDIT")
	setDefault(&c.Prefix, "audit.v1")
	setDefault(&c.Replicas, 1)
	setDefault(&c.DuplicateWindow, time.Hour)
	setDefault(&c.Name, "activity_publisher")
	setDefault(&c.Version, 1)
	setDefault(&c.Source, "/audit")
	setDefault(&c.TypePrefix, "evident")
	setDefault(&c.SchemaURL, ActivityRecordedSchemaURL)
	setDefault(&c.Window, 64)
	setDefault(&c.PublishTimeout, 2*time.Second)
	if c.Map == nil {
		c.Map = activities{config: c}.message
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate checks everything that [NewPublisher] and [ProvisionStream] would
// refuse without asking the server. The error, an [*event.InvalidError] or
// [*event.TooLargeError], names the field.
func (c PublisherConfig) Validate() error {
	if c.Map != nil && c.Full {
		return &event.InvalidError{Field: "full", Reason: "is about records, and Map publishes something else"}
	}
	c = c.withDefaults()
	if err := validateStreamName(c.Stream); err != nil {
		return err
	}
	if err := validatePrefix(c.Prefix); err != nil {
		return err
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return &event.InvalidError{Field: "replicas", Reason: "must be 1 to 5"}
	}
	if err := c.validateTimes(); err != nil {
		return err
	}
	if c.Window < 0 {
		return &event.InvalidError{Field: "window", Reason: "must not be negative; 0 means the default"}
	}
	return c.validateNames()
}

func (c PublisherConfig) validateTimes() error {
	for _, d := range []struct {
		field string
		value time.Duration
		least time.Duration
	}{
		{"duplicate_window", c.DuplicateWindow, 100 * time.Millisecond},
		{"max_age", c.MaxAge, 0},
		{"publish_timeout", c.PublishTimeout, time.Millisecond},
	} {
		if d.value < d.least {
			return &event.InvalidError{Field: d.field, Value: d.value.String(), Reason: "must be at least " + d.least.String()}
		}
	}
	if c.MaxAge > 0 && c.MaxAge < c.DuplicateWindow {
		return &event.InvalidError{Field: "max_age", Value: c.MaxAge.String(), Reason: "must not be shorter than duplicate_window"}
	}
	return nil
}

func (c PublisherConfig) validateNames() error {
	for field, name := range map[string]string{"name": c.Name, "source": c.Source, "type_prefix": c.TypePrefix, "schema_url": c.SchemaURL} {
		if err := event.ValidateName(field, name); err != nil {
			return err
		}
		if !isVisible(name) && field != "name" {
			return &event.InvalidError{Field: field, Value: shown(name), Reason: "must be printable ASCII without blanks"}
		}
	}
	if c.Version < 0 {
		return &event.InvalidError{Field: "version", Reason: "must not be negative; 0 means 1"}
	}
	for _, t := range c.Types {
		if err := event.ValidateName("types", t); err != nil {
			return err
		}
	}
	return nil
}

// validateStreamName refuses what the server does, and what would be no file.
func validateStreamName(name string) error {
	if len(name) > 32 || Token(name) != name {
		return &event.InvalidError{Field: "stream", Value: shown(name), Reason: `must be 1 to 32 letters, digits, "-" and "_"`}
	}
	return nil
}
