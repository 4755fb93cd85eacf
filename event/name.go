package event

import (
	"strings"
	"unicode/utf8"
)

// Limits on names, in bytes of UTF-8. They are the same for every store, so
// that events can be copied from any store to any other.
const (
	// MaxNameBytes bounds event types, aggregate types and tenants.
	MaxNameBytes = 128
	// MaxActorBytes bounds actor ids.
	MaxActorBytes = 256
	// MaxMetadataBytes bounds the JSON form of an event's metadata.
	MaxMetadataBytes = 64 << 10
)

// ValidateName checks a name that is stored as written: not empty, valid
// UTF-8, no NUL or other control character, at most MaxNameBytes. Names that
// differ in case, in trailing space or in Unicode form are different names.
// The error is an [*InvalidError] or [*TooLargeError] for field.
func ValidateName(field, name string) error {
	if name == "" {
		return &InvalidError{Field: field, Reason: "must not be empty"}
	}
	return validateText(field, name, MaxNameBytes)
}

// ValidateText checks free text that is stored as written: valid UTF-8, no
// control character, at most limit bytes. The empty text is valid. The error is
// an [*InvalidError] or [*TooLargeError] for field.
func ValidateText(field, s string, limit int) error { return validateText(field, s, limit) }

func validateText(field, s string, limit int) error {
	if len(s) > limit {
		return &TooLargeError{Field: field, Size: len(s), Limit: limit, Unit: "bytes"}
	}
	if plain(s) {
		return nil
	}
	if !utf8.ValidString(s) {
		return &InvalidError{Field: field, Value: shorten(strings.ToValidUTF8(s, "\uFFFD")), Reason: "is not valid UTF-8"}
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f {
			return &InvalidError{Field: field, Value: shorten(s), Reason: "contains a control character"}
		}
	}
	return nil
}

// plain is the fast path: printable ASCII needs no further look.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// TenantID names the tenant that an event belongs to. The zero value means
// that the event belongs to none; such an event is invisible to every tenant.
type TenantID string

// Validate checks a tenant's name as [ValidateName] does; the zero value is valid.
func (t TenantID) Validate() error {
	if t == "" {
		return nil
	}
	return validateText("tenant_id", string(t), MaxNameBytes)
}
