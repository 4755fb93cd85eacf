package eventstore

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Limits is what an append may hold at the most. The names' limits are those
// of package event and equal for all stores.
type Limits struct {
	// PayloadBytes bounds one event's payload. Default 1 MiB.
	PayloadBytes int
	// EventsPerAppend bounds the events of one append, over all streams. Default 1,000.
	EventsPerAppend int
	// StreamsPerAppend bounds the streams of one append. Default 100.
	StreamsPerAppend int
}

// DefaultLimits are limits that every store can keep.
func DefaultLimits() Limits {
	return Limits{PayloadBytes: 1 << 20, EventsPerAppend: 1000, StreamsPerAppend: 100}
}

// OrDefault returns l with zero fields replaced by those of [DefaultLimits].
func (l Limits) OrDefault() Limits {
	d := DefaultLimits()
	if l.PayloadBytes == 0 {
		l.PayloadBytes = d.PayloadBytes
	}
	if l.EventsPerAppend == 0 {
		l.EventsPerAppend = d.EventsPerAppend
	}
	if l.StreamsPerAppend == 0 {
		l.StreamsPerAppend = d.StreamsPerAppend
	}
	return l
}

// Validate refuses negative limits; the error names the field.
func (l Limits) Validate() error {
	for _, limit := range []struct {
		field string
		value int
	}{
		{"limits.payload_bytes", l.PayloadBytes},
		{"limits.events_per_append", l.EventsPerAppend},
		{"limits.streams_per_append", l.StreamsPerAppend},
	} {
		if limit.value < 0 {
			return &event.InvalidError{Field: limit.field, Reason: "must not be negative; 0 means the default"}
		}
	}
	return nil
}

// CheckAppends checks appends against limits and against everything that every
// store refuses; it is the first thing that a store does with them. Names are
// valid, no stream and no event id is named twice, events belong to their
// stream, and a version that is given fits its place. Metadata is checked by
// [event.EncodeMetadata], when the store encodes it.
//
// Errors are [*event.InvalidError], [*event.TooLargeError] and, for an id that
// occurs twice in one append, [*DuplicateEventError].
func CheckAppends(limits Limits, appends []Append) error {
	if len(appends) == 0 {
		return &event.InvalidError{Field: "appends", Reason: "must name at least one stream"}
	}
	if len(appends) > limits.StreamsPerAppend {
		return &event.TooLargeError{Field: "append", Size: len(appends), Limit: limits.StreamsPerAppend, Unit: "streams"}
	}
	total := 0
	for i := range appends {
		if err := checkAppend(limits, &appends[i]); err != nil {
			return err
		}
		total += len(appends[i].Events)
	}
	if total > limits.EventsPerAppend {
		return &event.TooLargeError{Field: "append", Size: total, Limit: limits.EventsPerAppend, Unit: "events"}
	}
	if err := checkStreamsDiffer(appends); err != nil {
		return err
	}
	return checkIDsDiffer(appends, total)
}

func checkAppend(limits Limits, a *Append) error {
	if err := a.Stream.Validate(); err != nil {
		return err
	}
	for i := range a.Events {
		e := &a.Events[i]
		if err := e.Validate(); err != nil {
			return err
		}
		if err := checkPlace(a, e, uint64(i)); err != nil {
			return err
		}
		if len(e.Data) > limits.PayloadBytes {
			return &event.TooLargeError{Field: "payload of " + e.Type, Size: len(e.Data), Limit: limits.PayloadBytes, Unit: "bytes"}
		}
	}
	return nil
}

// checkPlace refuses an event that says it belongs elsewhere than at index i
// of append a. Fields that say nothing are filled in by the store.
func checkPlace(a *Append, e *event.Event, i uint64) error {
	if e.AggregateType != "" && e.AggregateType != a.Stream.AggregateType {
		return &event.InvalidError{Field: "aggregate_type", Value: e.AggregateType, Reason: "the event is appended to stream " + a.Stream.String()}
	}
	if e.AggregateID != uuid.Nil && e.AggregateID != a.Stream.AggregateID {
		return &event.InvalidError{Field: "aggregate_id", Value: e.AggregateID.String(), Reason: "the event is appended to stream " + a.Stream.String()}
	}
	if e.TenantID != "" && e.TenantID != a.Stream.TenantID {
		return &event.InvalidError{Field: "tenant_id", Value: string(e.TenantID), Reason: "the event is appended to stream " + a.Stream.String()}
	}
	if e.AggregateVersion == 0 {
		return nil
	}
	base, exact := a.Expected.Version()
	if !exact {
		return &event.InvalidError{Field: "aggregate_version", Reason: "may be given only with an exact expected version"}
	}
	if e.AggregateVersion != base+1+i {
		return &event.InvalidError{
			Field: "aggregate_version", Value: strconv.FormatUint(e.AggregateVersion, 10),
			Reason: "the event's place in the append makes it version " + strconv.FormatUint(base+1+i, 10),
		}
	}
	return nil
}

func checkStreamsDiffer(appends []Append) error {
	if len(appends) == 1 {
		return nil
	}
	seen := make(map[Stream]struct{}, len(appends))
	for i := range appends {
		if _, twice := seen[appends[i].Stream]; twice {
			return &event.InvalidError{Field: "appends", Value: appends[i].Stream.String(), Reason: "names the stream twice; put its events into one Append"}
		}
		seen[appends[i].Stream] = struct{}{}
	}
	return nil
}

func checkIDsDiffer(appends []Append, total int) error {
	if total < 2 {
		return nil
	}
	seen := make(map[uuid.UUID]struct{}, total)
	for i := range appends {
		for j := range appends[i].Events {
			id := appends[i].Events[j].ID
			if _, twice := seen[id]; twice {
				return &DuplicateEventError{EventID: id, Stream: appends[i].Stream}
			}
			seen[id] = struct{}{}
		}
	}
	return nil
}

// Place returns e as it is stored: at its place in stream, recorded at the
// store's time.
func Place(e event.Event, stream Stream, version, position uint64, recordedAt time.Time) event.Event {
	e.TenantID, e.AggregateType, e.AggregateID = stream.TenantID, stream.AggregateType, stream.AggregateID
	e.AggregateVersion, e.Position, e.RecordedAt = version, position, recordedAt
	e.OccurredAt = event.Time(e.OccurredAt)
	return e
}
