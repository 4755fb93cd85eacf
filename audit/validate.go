package audit

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// Limits of a record, in bytes of UTF-8 where they are not numbers of keys.
const (
	MaxActionBytes      = 256
	MaxEntityIDBytes    = 256
	MaxOwnerBytes       = 256
	MaxReasonBytes      = 500
	MaxPurposeBytes     = 200
	MaxDescriptionBytes = 1000
	MaxRequestBytes     = 512 // each field of a request
	MaxMetadataKeys     = 50
	MaxMetadataString   = 500 // a text among the metadata
)

func (d Draft) validate() error {
	stamped := event.Event{ // the rules that records share with events
		ID: d.ID, Type: "ActivityRecorded", SchemaVersion: 1, TenantID: d.TenantID, ActorID: d.ActorID, OccurredAt: d.OccurredAt,
	}
	if err := stamped.Validate(); err != nil {
		return err
	}
	if d.OnBehalfOf.Validate() != nil {
		return &event.InvalidError{Field: "on_behalf_of", Value: string(d.OnBehalfOf), Reason: "must be an actor id, as actor_id"}
	}
	if err := ValidateAction(d.Action); err != nil {
		return err
	}
	if err := d.Entity.Validate(); err != nil {
		return err
	}
	if err := d.Outcome.Validate(); err != nil {
		return err
	}
	return d.validateTexts()
}

func (d Draft) validateTexts() error {
	for _, text := range []struct {
		field, value string
		limit        int
	}{
		{"owner_id", d.OwnerID, MaxOwnerBytes},
		{"reason", d.Reason, MaxReasonBytes},
		{"purpose", d.Purpose, MaxPurposeBytes},
		{"description", d.Description, MaxDescriptionBytes},
		{"request.id", d.Request.ID, MaxRequestBytes},
		{"request.traceparent", d.Request.Traceparent, MaxRequestBytes},
		{"request.source_address", d.Request.SourceAddress, MaxRequestBytes},
		{"request.user_agent", d.Request.UserAgent, MaxRequestBytes},
	} {
		if err := event.ValidateText(text.field, text.value, text.limit); err != nil {
			return err
		}
	}
	return nil
}

func validateID(field, id string) error {
	if id == "" {
		return &event.InvalidError{Field: field, Reason: "must not be empty"}
	}
	return event.ValidateText(field, id, MaxEntityIDBytes)
}

func required(field string, missing bool) error {
	if missing {
		return &event.InvalidError{Field: field, Reason: "must be given; a query for nobody in particular is audit.Query"}
	}
	return nil
}

func requiredID(field string, id uuid.UUID) error { return required(field, id == uuid.Nil) }

// scalars returns a copy of m with the types that storage keeps, or says which
// key holds something that a record does not take.
func scalars(m event.Metadata) (event.Metadata, error) {
	if len(m) == 0 {
		return nil, nil
	}
	if len(m) > MaxMetadataKeys {
		return nil, &event.TooLargeError{Field: "metadata", Size: len(m), Limit: MaxMetadataKeys, Unit: "keys"}
	}
	out := make(event.Metadata, len(m))
	for key, value := range m {
		normal, ok := scalar(value)
		if !ok {
			return nil, &event.InvalidError{Field: "metadata." + key, Reason: fmt.Sprintf("has type %T; use text, bool, a number or nil", value)}
		}
		if s, text := normal.(string); text && len(s) > MaxMetadataString {
			return nil, &event.TooLargeError{Field: "metadata." + key, Size: len(s), Limit: MaxMetadataString, Unit: "bytes"}
		}
		out[key] = normal
	}
	if _, err := event.EncodeMetadata(out); err != nil {
		return nil, err // it names the key.
	}
	return out, nil
}

// scalar returns value with the type that it has when it comes back from
// storage, and whether it is a scalar at all.
func scalar(value any) (any, bool) {
	switch v := value.(type) {
	case nil, bool, string, int64, float64:
		return v, true
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case float32:
		return float64(v), true
	case uint:
		return unsigned(uint64(v)), true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return unsigned(v), true
	default:
		return nil, false
	}
}

func unsigned(v uint64) any {
	if v <= math.MaxInt64 {
		return int64(v)
	}
	return v
}

// cut returns the beginning of s that has at most limit bytes and ends with a
// whole character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// printable returns s with everything replaced that a name may not have.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}
