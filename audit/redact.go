package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/evident-go/evident/event"
)

// Treatment is what a [Redaction] does with a value.
type Treatment uint8

// The treatments. The zero value keeps.
const (
	Keep Treatment = iota
	Mask           // [Masked] stands in its place
	Hash           // its [Redaction.Fingerprint] stands in its place: equal values can be found, not read
	Drop           // nothing stands in its place
)

// Masked is what stands in the place of a value that was masked.
const Masked = "[redacted]"

// minHashKey is how many bytes a key has at the least, as many as its hash.
const minHashKey = sha256.Size

// RedactConfig says how values are treated. The zero value keeps everything.
type RedactConfig struct {
	// Rules name values by their metadata key. [KeyRequest], [KeyTraceparent],
	// [KeySourceAddress], [KeyUserAgent] and [KeyPurpose] are rules for the
	// record's own field, too, as are "reason" and "description".
	Rules map[string]Treatment
	// Otherwise is for metadata and fields of the request that no rule names.
	// [Drop] makes Rules a list of what is allowed.
	Otherwise Treatment
	// HashKey returns the secret of a tenant, of 32 bytes at the least. It must be set
	// if anything is hashed, and be stable, or equal values have different hashes.
	HashKey func(tenant event.TenantID) []byte
}

// Redaction keeps values out of the audit log. It is a hook of an appending
// log, and chooses the metadata of records that are derived from events:
//
//	audit.LogConfig{Before: []audit.BeforeAppend{redaction.BeforeAppend}}
//	audit.Config{Metadata: redaction.Metadata}
//
// What events say themselves stays in the event store. It is safe for
// concurrent use.
type Redaction struct{ config RedactConfig }

// NewRedaction returns a redaction. The error, an [*event.InvalidError], names
// the field.
func NewRedaction(config RedactConfig) (*Redaction, error) {
	config.Rules = maps.Clone(config.Rules)
	hashes := config.Otherwise == Hash
	if config.Otherwise > Drop {
		return nil, &event.InvalidError{Field: "otherwise", Reason: "must be Keep, Mask, Hash or Drop"}
	}
	for key, treatment := range config.Rules {
		if treatment > Drop {
			return nil, &event.InvalidError{Field: "rules." + key, Reason: "must be Keep, Mask, Hash or Drop"}
		}
		hashes = hashes || treatment == Hash
	}
	if hashes && config.HashKey == nil {
		return nil, &event.InvalidError{Field: "hash_key", Reason: "must be set where a value is hashed"}
	}
	return &Redaction{config: config}, nil
}

// BeforeAppend is a hook of [LogConfig.Before]. Its error, which refuses the
// record, can only be a key that is too short.
func (r *Redaction) BeforeAppend(_ context.Context, draft *Draft) error {
	if err := r.check(draft.TenantID); err != nil {
		return err
	}
	draft.Metadata = r.metadata(draft.TenantID, draft.Metadata)
	for key, field := range map[string]*string{
		KeyRequest: &draft.Request.ID, KeyTraceparent: &draft.Request.Traceparent,
		KeySourceAddress: &draft.Request.SourceAddress, KeyUserAgent: &draft.Request.UserAgent,
	} {
		*field = r.text(draft.TenantID, key, *field, r.config.Otherwise)
	}
	for key, field := range map[string]*string{KeyPurpose: &draft.Purpose, "reason": &draft.Reason, "description": &draft.Description} {
		*field = r.text(draft.TenantID, key, *field, Keep)
	}
	return nil
}

// Metadata is a function for [Config.Metadata]. Where a key for hashes is too
// short, what would be hashed is masked.
func (r *Redaction) Metadata(e event.Event) event.Metadata { return r.metadata(e.TenantID, e.Metadata) }

// Fingerprint returns what stands in the place of a value that was hashed,
// "hmac-sha256:" and 64 hexadecimal digits, so that it can be searched for. It
// is [Masked] where the key is too short.
func (r *Redaction) Fingerprint(tenant event.TenantID, value any) string {
	if r.check(tenant) != nil || r.config.HashKey == nil {
		return Masked
	}
	text, ok := value.(string)
	if !ok {
		text = asText(value)
	}
	mac := hmac.New(sha256.New, r.config.HashKey(tenant))
	mac.Write([]byte(text))
	return "hmac-sha256:" + hex.EncodeToString(mac.Sum(nil))
}

func (r *Redaction) check(tenant event.TenantID) error {
	if r.config.HashKey == nil {
		return nil
	}
	if n := len(r.config.HashKey(tenant)); n < minHashKey {
		return &event.InvalidError{Field: "hash_key", Reason: fmt.Sprintf("has %d bytes for tenant %q, must have %d or more", n, tenant, minHashKey)}
	}
	return nil
}

func (r *Redaction) metadata(tenant event.TenantID, m event.Metadata) event.Metadata {
	if len(m) == 0 {
		return nil
	}
	out := make(event.Metadata, len(m))
	for key, value := range m {
		if treated, kept := r.treat(tenant, r.rule(key, r.config.Otherwise), value); kept {
			out[key] = treated
		}
	}
	return out
}

func (r *Redaction) text(tenant event.TenantID, key, value string, otherwise Treatment) string {
	if value == "" {
		return ""
	}
	treated, _ := r.treat(tenant, r.rule(key, otherwise), value)
	text, _ := treated.(string)
	return text
}

func (r *Redaction) rule(key string, otherwise Treatment) Treatment {
	if treatment, ok := r.config.Rules[key]; ok {
		return treatment
	}
	return otherwise
}

func (r *Redaction) treat(tenant event.TenantID, treatment Treatment, value any) (treated any, kept bool) {
	switch treatment {
	case Keep:
		return value, true
	case Mask:
		return Masked, true
	case Hash:
		return r.Fingerprint(tenant, value), true
	default:
		return nil, false
	}
}
