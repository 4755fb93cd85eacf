package audit

import (
	"cmp"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// unplaced refuses what only a store can say.
func (d Draft) unplaced() error {
	switch {
	case d.Position != 0:
		return &event.InvalidError{Field: "position", Reason: "is the store's to say"}
	case !d.RecordedAt.IsZero():
		return &event.InvalidError{Field: "recorded_at", Reason: "is the store's to say"}
	case !d.Origin.IsZero():
		return &event.InvalidError{Field: "origin", Reason: "belongs to records that are derived from an event"}
	case len(d.Reduced) > 0:
		return &event.InvalidError{Field: "reduced", Reason: "belongs to records that are derived from an event"}
	default:
		return nil
	}
}

// from fills in what a draft leaves out and the context says.
func (d Draft) from(origin event.Origin, now time.Time) Draft {
	if d.ID == uuid.Nil {
		d.ID = event.NewIDAt(now)
	}
	if d.OccurredAt.IsZero() {
		d.OccurredAt = now
	}
	d.ActorID = cmp.Or(d.ActorID, origin.ActorID)
	d.TenantID = cmp.Or(d.TenantID, origin.TenantID)
	d.CausationID = cmp.Or(d.CausationID, origin.CausationID)
	d.CorrelationID = cmp.Or(d.CorrelationID, origin.CorrelationID, d.ID)
	if len(origin.Metadata) > 0 {
		said := origin.Metadata
		d.Request.ID = cmp.Or(d.Request.ID, metadataText(said, KeyRequest))
		d.Request.Traceparent = cmp.Or(d.Request.Traceparent, metadataText(said, KeyTraceparent))
		d.Request.SourceAddress = cmp.Or(d.Request.SourceAddress, metadataText(said, KeySourceAddress))
		d.Request.UserAgent = cmp.Or(d.Request.UserAgent, metadataText(said, KeyUserAgent))
		d.OnBehalfOf = cmp.Or(d.OnBehalfOf, event.ActorID(metadataText(said, KeyOnBehalfOf)))
		d.Purpose = cmp.Or(d.Purpose, metadataText(said, KeyPurpose))
		merged := maps.Clone(origin.Metadata)
		maps.Copy(merged, d.Metadata)
		d.Metadata = merged
	}
	return d
}
