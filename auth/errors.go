package auth

import (
	"errors"
	"fmt"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Sentinels for errors.Is.
var (
	// ErrUnauthenticated says that nobody is known to act: there is no
	// credential, or it was refused.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrDenied says that somebody is known, and may not do this.
	ErrDenied = errors.New("not allowed")
	// ErrUnavailable says that a credential could not be checked, for example
	// because the keys could not be had. Trying again later may help.
	ErrUnavailable = errors.New("credentials cannot be checked now")
	// ErrNotRecorded says that somebody was refused, and that the record of it
	// could not be stored.
	ErrNotRecorded = errors.New("refusal could not be recorded")
)

// Reason says why a credential was refused. The words are fixed, and say
// nothing that a credential holds.
type Reason string

// The reasons.
const (
	Missing     Reason = "missing"         // there is none
	Ambiguous   Reason = "ambiguous"       // there are several
	Scheme      Reason = "scheme"          // nothing here takes credentials of this kind
	TooLarge    Reason = "too_large"       // over the limit
	Malformed   Reason = "malformed"       // cannot be read
	Algorithm   Reason = "algorithm"       // signed in a way that is not accepted
	UnknownKey  Reason = "unknown_key"     // signed by a key that is not known
	Signature   Reason = "signature"       // does not fit the signature
	Expired     Reason = "expired"         // is too old
	NotYetValid Reason = "not_yet_valid"   // is too young
	Issuer      Reason = "issuer"          // comes from somewhere else
	Audience    Reason = "audience"        // is meant for somebody else
	Claims      Reason = "claims"          // lacks something, or says something that cannot be
	Unknown     Reason = "unknown"         // nobody has issued it
	Revoked     Reason = "revoked"         // was taken back
	NotAccepted Reason = "not_accepted"    // for a reason of an authenticator of yours
	nobody      Reason = "unauthenticated" // in records: something was asked for by nobody
)

// CredentialError says why a credential was refused. It never holds the
// credential.
type CredentialError struct {
	Reason Reason
	Method string // "jwt", "api_key"; "" if it is not known
	KeyID  string // of the key that the credential names, as far as it can be written down
	Err    error  // what went wrong in detail, for logs; may be nil
}

// Error implements error.
func (e *CredentialError) Error() string {
	text := fmt.Sprintf("%v: credential refused (%s)", ErrUnauthenticated, e.Reason)
	if e.Reason == Missing {
		text = ErrUnauthenticated.Error() + ": no credential"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is reports whether target is [ErrUnauthenticated].
func (e *CredentialError) Is(target error) bool { return target == ErrUnauthenticated }

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }

// DeniedError says who may not do what.
type DeniedError struct {
	Permission Permission // that is missing; "" if it is not a matter of permissions
	ActorID    event.ActorID
	OnBehalfOf event.ActorID
	TenantID   event.TenantID
	Entity     audit.EntityRef // that it was about; zero if nothing in particular
	Reason     string
}

// Error implements error.
func (e *DeniedError) Error() string {
	text := fmt.Sprintf("%s: %v: %s", e.ActorID, ErrDenied, e.Reason)
	if e.Entity != (audit.EntityRef{}) {
		text += " (" + e.Entity.String() + ")"
	}
	return text
}

// Is reports whether target is [ErrDenied].
func (e *DeniedError) Is(target error) bool { return target == ErrDenied }

// RecordError says that a refusal could not be recorded. It matches the
// refusal as well.
type RecordError struct {
	Refusal error // why somebody was refused
	Err     error // why that could not be recorded
}

// Error implements error.
func (e *RecordError) Error() string {
	return fmt.Sprintf("%v; %v: %v", e.Refusal, ErrNotRecorded, e.Err)
}

// Is reports whether target is [ErrNotRecorded].
func (e *RecordError) Is(target error) bool { return target == ErrNotRecorded }

// Unwrap returns both.
func (e *RecordError) Unwrap() []error { return []error{e.Refusal, e.Err} }
