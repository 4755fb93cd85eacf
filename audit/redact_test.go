package audit_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

// keyOf returns another secret for each tenant.
func keyOf(tenant event.TenantID) []byte { return bytes.Repeat([]byte("k"+tenant), 32) }

func redaction(t *testing.T, config audit.RedactConfig) *audit.Redaction {
	t.Helper()
	r, err := audit.NewRedaction(config)
	require.NoError(t, err)
	return r
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	r := redaction(t, audit.RedactConfig{
		Rules: map[string]audit.Treatment{
			"channel": audit.Keep, "email": audit.Hash, "n": audit.Hash, "secret": audit.Mask,
			audit.KeySourceAddress: audit.Hash, audit.KeyRequest: audit.Keep, "reason": audit.Mask, audit.KeyPurpose: audit.Drop,
		},
		Otherwise: audit.Drop,
		HashKey:   keyOf,
	})
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{Before: []audit.BeforeAppend{r.BeforeAppend}})
	require.NoError(t, err)
	draft := audit.Draft{
		TenantID: "acme", Action: "a", Entity: audit.EntityRef{Type: "T", ID: "1"},
		Reason: "she said so", Purpose: "p", Description: "d", Request: fullDraft().Request,
		Metadata: event.Metadata{"channel": "mobile", "email": "jane@example.com", "n": 7, "secret": "s3cr3t", "unknown": "u"},
	}
	receipt, err := log.Append(t.Context(), draft)
	require.NoError(t, err)
	d := receipt.Records[0].Draft()
	assert.Equal(t, event.Metadata{
		"channel": "mobile", "email": r.Fingerprint("acme", "jane@example.com"), "n": r.Fingerprint("acme", int64(7)), "secret": audit.Masked,
	}, d.Metadata)
	assert.Equal(t, audit.Request{ID: "req_1", SourceAddress: r.Fingerprint("acme", "192.0.2.1")}, d.Request)
	assert.Equal(t, []string{audit.Masked, "", "d"}, []string{d.Reason, d.Purpose, d.Description})
}

func TestFingerprints(t *testing.T) {
	t.Parallel()
	r := redaction(t, audit.RedactConfig{Otherwise: audit.Hash, HashKey: keyOf})
	fingerprint := r.Fingerprint("acme", "jane")
	assert.Regexp(t, "^hmac-sha256:[0-9a-f]{64}$", fingerprint)
	assert.Equal(t, fingerprint, r.Fingerprint("acme", "jane"), "equal values are found")
	assert.NotEqual(t, fingerprint, r.Fingerprint("acme", "Jane"))
	assert.NotEqual(t, fingerprint, r.Fingerprint("globex", "jane"), "tenants cannot be compared")
}

func TestRedactionOfEvents(t *testing.T) {
	t.Parallel()
	r := redaction(t, audit.RedactConfig{
		Rules: map[string]audit.Treatment{audit.KeySourceAddress: audit.Mask, "password": audit.Drop},
	})
	e := created(1, func(e *event.Event) {
		e.Metadata = event.Metadata{audit.KeySourceAddress: "192.0.2.1", "password": "hunter2", "channel": "web", audit.KeyOwner: "user:bob"}
	})
	record, err := audit.FromEvent(e, audit.Config{Metadata: r.Metadata})
	require.NoError(t, err)
	assert.Equal(t, event.Metadata{audit.KeySourceAddress: audit.Masked, "channel": "web", audit.KeyOwner: "user:bob"}, record.Metadata())
	assert.Equal(t, audit.Masked, record.Request().SourceAddress, "fields of the request come from what was chosen")
	assert.Nil(t, r.Metadata(created(2)))
}

// A key that is too short hides nothing, so nothing is stored under it.
func TestRedactionWithAShortKey(t *testing.T) {
	t.Parallel()
	r := redaction(t, audit.RedactConfig{Otherwise: audit.Hash, HashKey: func(event.TenantID) []byte { return []byte("short") }})
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{Before: []audit.BeforeAppend{r.BeforeAppend}})
	require.NoError(t, err)
	_, err = log.Append(t.Context(), audit.Draft{Action: "a", Entity: audit.EntityRef{Type: "T", ID: "1"}, Metadata: event.Metadata{"email": "jane"}})
	require.ErrorIs(t, err, audit.ErrVetoed)
	require.ErrorContains(t, err, "hash_key")
	assert.Equal(t, event.Metadata{"email": audit.Masked}, r.Metadata(event.Event{Metadata: event.Metadata{"email": "jane"}}))
}

func TestNewRedactionRefuses(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]audit.RedactConfig{
		"otherwise":   {Otherwise: 9},
		"rules.email": {Rules: map[string]audit.Treatment{"email": 9}},
		"hash_key":    {Rules: map[string]audit.Treatment{"email": audit.Hash}},
	} {
		_, err := audit.NewRedaction(config)
		require.ErrorIs(t, err, event.ErrInvalid, field)
		require.ErrorContains(t, err, field)
	}
	m := event.Metadata{"k": "v"}
	assert.Equal(t, m, redaction(t, audit.RedactConfig{}).Metadata(event.Event{Metadata: m}), "the zero value keeps")
}
