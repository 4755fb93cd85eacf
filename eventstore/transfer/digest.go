package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Digest is how many events there are, and a hash over all of them, in order.
// Two stores whose digests are equal hold the same history. Digests are compared
// with ==.
type Digest struct {
	Events uint64
	// SHA256 is over every field but the position. What it is over never
	// changes, so that a digest may be kept.
	SHA256 [sha256.Size]byte
}

// String returns "24542 events, sha256:9f86d081…".
func (d Digest) String() string {
	return fmt.Sprintf("%d events, sha256:%s", d.Events, hex.EncodeToString(d.SHA256[:]))
}

// DigestOf reads the events of a store up to a position, 0 for its head, and
// returns their digest. Errors are those of the store.
func DigestOf(ctx context.Context, store eventstore.Store, until uint64) (Digest, error) {
	d, encoded := newDigester(Digest{}), encoding{}
	for e, err := range store.ReadAll(ctx, eventstore.Query{Until: until}) {
		if err == nil {
			err = encoded.set(&e)
		}
		if err != nil {
			return Digest{}, fmt.Errorf("digest: %w", err)
		}
		d.add(&encoded)
	}
	return d.Digest, nil
}

// digester makes a digest, event by event. Each hash is over the one before and
// the event, so that a digest is all that is needed to go on from it.
type digester struct {
	Digest

	hash hash.Hash
}

// newDigester goes on from a digest; the zero value is that of no events.
func newDigester(from Digest) *digester {
	if from.Events == 0 {
		from.SHA256 = sha256.Sum256([]byte("evident history 1\n"))
	}
	return &digester{Digest: from, hash: sha256.New()}
}

func (d *digester) add(e *encoding) {
	d.Events++
	d.hash.Reset()
	d.hash.Write(d.SHA256[:])
	d.hash.Write(e.bytes)
	d.hash.Sum(d.SHA256[:0])
}

// fieldNames are the fields of an event in the order in which they are encoded.
// A changed order would change every digest.
func fieldNames() [fields]string {
	return [fields]string{
		"event_id", "event_type", "schema_version", "tenant_id", "aggregate_type", "aggregate_id", "aggregate_version",
		"actor_id", "correlation_id", "causation_id", "occurred_at", "recorded_at", "metadata", "payload",
	}
}

const fields = 14

// encoding is an event as bytes, in which two events are equal exactly if they
// are the same but for the position. It is used again for the next event.
type encoding struct {
	bytes []byte
	ends  [fields]int // of each field
	n     int         // of fields that are there
}

// set encodes an event. Texts have their length in front: nothing that one field
// ends with can be taken for the beginning of the next.
func (c *encoding) set(e *event.Event) error {
	metadata, err := event.EncodeMetadata(e.Metadata)
	if err != nil {
		return fmt.Errorf("event at position %d: %w", e.Position, err)
	}
	c.bytes, c.n = c.bytes[:0], 0
	c.id(e.ID)
	encodeText(c, e.Type)
	c.number(uint64(e.SchemaVersion)) //nolint:gosec // from 1.
	encodeText(c, e.TenantID)
	encodeText(c, e.AggregateType)
	c.id(e.AggregateID)
	c.number(e.AggregateVersion)
	encodeText(c, e.ActorID)
	c.id(e.CorrelationID)
	c.id(e.CausationID)
	c.time(e.OccurredAt)
	c.time(e.RecordedAt)
	encodeText(c, metadata)
	encodeText(c, e.Data)
	return nil
}

func (c *encoding) end() {
	c.ends[c.n] = len(c.bytes)
	c.n++
}

func (c *encoding) id(id uuid.UUID) {
	c.bytes = append(c.bytes, id[:]...)
	c.end()
}

func (c *encoding) number(n uint64) {
	c.bytes = binary.BigEndian.AppendUint64(c.bytes, n)
	c.end()
}

// encodeText appends a text without copying it before.
func encodeText[T ~string | ~[]byte](c *encoding, s T) {
	c.bytes = binary.BigEndian.AppendUint64(c.bytes, uint64(len(s)))
	c.bytes = append(c.bytes, s...)
	c.end()
}

// time encodes microseconds since 1970: what stores keep.
func (c *encoding) time(t time.Time) { c.number(uint64(t.UnixMicro())) }

// field returns the bytes of one field.
func (c *encoding) field(i int) []byte {
	begin := 0
	if i > 0 {
		begin = c.ends[i-1]
	}
	return c.bytes[begin:c.ends[i]]
}
