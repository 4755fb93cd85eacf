package jetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// orderOf is the key of a record's entity. Of an aggregate it is the key of its
// stream, so that events and explicit activities about one thing have one order.
func orderOf(r audit.ActivityRecord) string {
	entity := r.Entity()
	if id, err := uuid.Parse(entity.ID); err == nil && id.String() == entity.ID {
		return projection.DefaultSequenceKey(event.Event{TenantID: r.TenantID(), AggregateType: entity.Type, AggregateID: id})
	}
	escape := strings.NewReplacer("%", "%25", "/", "%2F")
	return bounded(escape.Replace(string(r.TenantID())) + "/" + escape.Replace(entity.Type) + "/" + escape.Replace(entity.ID))
}

// bounded returns a key that dead letters can be parked under.
func bounded(key string) string {
	if len(key) <= projection.MaxSequenceKeyBytes {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}
