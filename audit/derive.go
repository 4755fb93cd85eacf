package audit

import (
	"fmt"
	"slices"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Metadata keys of events from which a derived record fills its own fields.
// They stay among the metadata, too.
const (
	KeyOwner         = event.KeyOwner
	KeyOnBehalfOf    = "on_behalf_of"
	KeyPurpose       = "purpose"
	KeyRequest       = "request_id"
	KeyTraceparent   = "traceparent"
	KeySourceAddress = "ip_address"
	KeyUserAgent     = "user_agent"
)

// Config says how events become records. The zero value is ready. Whoever
// changes it for a log that exists should rebuild the log.
//
// The functions must depend on nothing but the event, or a replay will not
// give the same log, and must be safe for concurrent use.
type Config struct {
	// Owner says whose data an event is about. Default: the metadata key [KeyOwner].
	Owner func(e event.Event) string
	// Action names what an event did. Default [ActionOf]. A name that
	// [ValidateAction] refuses makes the event one that cannot be applied.
	Action func(e event.Event) string
	// Describe says in one sentence what happened. Default [Describe].
	Describe func(e event.Event) string
	// Metadata chooses what is recorded besides, and what the record's request
	// and purpose are taken from. Default: the event's own metadata.
	Metadata func(e event.Event) event.Metadata
}

func (c Config) withDefaults() Config {
	if c.Owner == nil {
		c.Owner = func(e event.Event) string { return metadataText(e.Metadata, KeyOwner) }
	}
	if c.Action == nil {
		c.Action = ActionOf
	}
	if c.Describe == nil {
		c.Describe = Describe
	}
	if c.Metadata == nil {
		c.Metadata = func(e event.Event) event.Metadata { return e.Metadata }
	}
	return c
}

// Describe is how an event is described by default: "user:alice triggered
// DocumentCreated on Document". Whoever was not named is called anonymous.
func Describe(e event.Event) string {
	return fmt.Sprintf("%s triggered %s on %s", actorOf(e), e.Type, e.AggregateType)
}

// actorOf never takes a missing actor for the system: that nobody was named
// does not mean that nobody did it.
func actorOf(e event.Event) event.ActorID {
	if e.ActorID == "" {
		return event.Anonymous
	}
	return e.ActorID
}

// FromEvent derives the record of an event that was stored: its id is the
// event's, its entity the aggregate in the event's version, its position the
// event's.
//
// No event is too large to be recorded. What exceeds a record's limits is cut,
// lists and objects among the metadata become text, and [ActivityRecord.Reduced]
// says where; the event itself, which Origin names, keeps it all. With the zero
// Config every stored event has a record; an error, [*event.InvalidError] or
// [*event.TooLargeError], can only come of Config.Action.
//
// An event that [Log.Append] stored is the record that was appended, with its
// place in the log; config has no say in it.
func FromEvent(e event.Event, config Config) (ActivityRecord, error) {
	if record, ok := appended(e); ok {
		return record, nil
	}
	config = config.withDefaults()
	action := config.Action(e)
	if err := ValidateAction(action); err != nil {
		return ActivityRecord{}, fmt.Errorf("record of event %s (%s): %w", e.ID, e.Type, err)
	}
	d := Draft{
		ID:            e.ID,
		TenantID:      e.TenantID,
		OccurredAt:    event.Time(e.OccurredAt),
		RecordedAt:    event.Time(e.RecordedAt),
		Position:      e.Position,
		ActorID:       actorOf(e),
		Action:        action,
		Entity:        EntityRef{Type: e.AggregateType, ID: e.AggregateID.String(), Version: e.AggregateVersion},
		Outcome:       Success,
		CorrelationID: e.CorrelationID,
		CausationID:   e.CausationID,
		Origin: Origin{
			EventID: e.ID, EventType: e.Type, Stream: eventstore.StreamOf(e), Version: e.AggregateVersion, Position: e.Position,
		},
	}
	var r reducer
	d.OwnerID = r.text("owner_id", config.Owner(e), MaxOwnerBytes)
	d.Description = r.text("description", config.Describe(e), MaxDescriptionBytes)
	chosen := config.Metadata(e)
	d.Purpose = r.text("purpose", metadataText(chosen, KeyPurpose), MaxPurposeBytes)
	d.Request = r.request(chosen)
	d.Metadata = r.metadata(chosen)
	if behalf := event.ActorID(metadataText(e.Metadata, KeyOnBehalfOf)); behalf.Validate() == nil {
		d.OnBehalfOf = behalf
	}
	slices.Sort(r.fields)
	d.Reduced = r.fields
	return ActivityRecord{d: d}, nil
}

// metadataText returns a value among metadata as text, "" if there is none.
func metadataText(m event.Metadata, key string) string {
	switch value := m[key].(type) {
	case nil:
		return ""
	case string:
		return value
	default:
		return asText(value)
	}
}
