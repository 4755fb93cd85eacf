package privacy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// ExportConfig says what an export is made of. Records and Log must be given.
type ExportConfig struct {
	// Records is the log that is searched: a home, or [audit.Replay]. The export
	// is as of the last record that it has; a home that is behind does not have
	// the latest.
	Records audit.Finder
	// Log is where the export is recorded, before anything goes out.
	Log audit.Appender
	// Events is where payloads are read, one query for each record that comes of
	// an event; nil leaves payloads out. What a person wrote, and what was written
	// about them, is in payloads. It must have all events that Records has records
	// of: one that is missing ends the export with [ErrUnknown].
	Events eventstore.Store
	// Payload returns what of an event's payload goes out, nil for nothing.
	// Default: all of it, unless it has the id of somebody who is masked.
	Payload func(ctx context.Context, e event.Event) ([]byte, error)
	// Purpose is what the export is for, for example the number of the request.
	Purpose string
	// DiscloseActors names other people. It needs a justification, which is
	// recorded.
	DiscloseActors bool
	Justification  string
	// Now is the time that stands in the export. Default [time.Now].
	Now func() time.Time
}

// Validate refuses what would not be an export. The error names the field.
func (c ExportConfig) Validate() error {
	switch {
	case c.Records == nil:
		return &event.InvalidError{Field: "records", Reason: "must be given"}
	case c.Log == nil:
		return &event.InvalidError{Field: "log", Reason: "must be given: an export is recorded"}
	case c.Payload != nil && c.Events == nil:
		return &event.InvalidError{Field: "payload", Reason: "needs Events"}
	case c.DiscloseActors && strings.TrimSpace(c.Justification) == "":
		return &event.InvalidError{Field: "justification", Reason: "must be given to name other people"}
	case !c.DiscloseActors && c.Justification != "":
		return &event.InvalidError{Field: "justification", Reason: "is for DiscloseActors, which is off"}
	}
	if err := event.ValidateText("purpose", c.Purpose, audit.MaxPurposeBytes); err != nil {
		return err
	}
	return event.ValidateText("justification", c.Justification, audit.MaxReasonBytes)
}

// ExportedAction is how an export is recorded. The record's id is the export's,
// and its owner is the person, so that it is in their next export.
const ExportedAction = "personal_data.exported"

// Export writes everything that the log says of a person to w: a header, the
// records in the order of their positions, each once with all the reasons why it
// is there, and a trailer with their number and a checksum. [ReadExport] reads
// it back. It is NDJSON; numbers of 64 bits are text.
//
// It is streamed: whatever there is to export, one record for each id and each
// entity of the subject is in memory, and those that a page of the log has.
//
// Other people are masked: their ids, and what may tell who they are, are left
// out, and each entry says which fields. A record that somebody else wrote may
// name a third in a payload; Payload is for those.
//
// The export is recorded first; who asks for it must stand in ctx
// ([event.WithActor]). If it cannot be recorded, nothing is written. If it fails
// later, the record stays, and what was written has no trailer.
//
// Errors: [*event.InvalidError] and [*event.TooLargeError], which name the
// field, and those of the log, the store and w.
func Export(ctx context.Context, w io.Writer, subject Subject, config ExportConfig) (Trailer, error) {
	if err := subject.Validate(); err != nil {
		return Trailer{}, fmt.Errorf("export: %w", err)
	}
	if err := config.Validate(); err != nil {
		return Trailer{}, fmt.Errorf("export: %w", err)
	}
	if _, err := actorOf(ctx); err != nil {
		return Trailer{}, fmt.Errorf("export: %w", err)
	}
	x, err := begin(ctx, subject, config)
	if err != nil {
		return Trailer{}, fmt.Errorf("export: %w", err)
	}
	trailer, err := x.write(ctx, w)
	if err != nil {
		return Trailer{}, fmt.Errorf("export: %w", err)
	}
	return trailer, nil
}

// actorOf returns who acts: what touches people is not done by nobody.
func actorOf(ctx context.Context) (event.ActorID, error) {
	actor := event.ActorFrom(ctx)
	if actor == "" || actor == event.Anonymous || actor.Validate() != nil {
		return "", &event.InvalidError{Field: "actor_id", Value: string(actor), Reason: "must be known: event.WithActor puts it into the context"}
	}
	return actor, nil
}

// export is one export that was recorded.
type export struct {
	config ExportConfig
	header Header
}

// begin finds out where the log ends, and records the export.
func begin(ctx context.Context, subject Subject, config ExportConfig) (*export, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	now := config.Now()
	x := &export{config: config, header: Header{
		ID: event.NewIDAt(now), Subject: subject, ExportedAt: event.Time(now), Purpose: config.Purpose,
		Payloads: config.Events != nil, DisclosedActors: config.DiscloseActors, Justification: config.Justification,
	}}
	for record, err := range config.Records.Find(ctx, audit.Query{Page: audit.Page{Limit: 1}, TenantID: subject.TenantID}) {
		if err != nil {
			return nil, err
		}
		x.header.AsOf = record.Position()
	}
	_, err := config.Log.Append(ctx, x.draft())
	return x, err
}

func (x *export) draft() audit.Draft {
	s, h := x.header.Subject, x.header
	owner := ""
	switch {
	case len(s.OwnerIDs) > 0:
		owner = s.OwnerIDs[0]
	case len(s.ActorIDs) > 0:
		owner = string(s.ActorIDs[0])
	}
	return audit.Draft{
		ID: h.ID, TenantID: s.TenantID, OccurredAt: h.ExportedAt, OwnerID: owner,
		Action: ExportedAction, Entity: audit.EntityRef{Type: "PersonalDataExport", ID: h.ID.String()},
		Purpose: h.Purpose, Reason: h.Justification,
		Metadata: event.Metadata{
			"as_of": h.AsOf, "disclosed_actors": h.DisclosedActors, "payloads": h.Payloads,
			"actor_ids": len(s.ActorIDs), "owner_ids": len(s.OwnerIDs), "entities": len(s.Entities),
		},
	}
}

// records yields all that is about the person.
func (x *export) records(ctx context.Context) iter.Seq2[audit.ActivityRecord, error] {
	reader := audit.NewReader(x.config.Records).AsOf(x.header.AsOf)
	queries := x.header.Subject.queries()
	sequences := make([]iter.Seq2[audit.ActivityRecord, error], len(queries))
	for i, query := range queries {
		query.OldestFirst = true
		sequences[i] = reader.Find(ctx, query)
	}
	return merged(sequences)
}

func (x *export) write(ctx context.Context, w io.Writer) (Trailer, error) {
	to := &lines{buffer: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	if err := to.write(x.header.line()); err != nil {
		return Trailer{}, err
	}
	var trailer Trailer
	for record, err := range x.records(ctx) {
		if err != nil {
			return Trailer{}, err
		}
		sections := x.header.Subject.sectionsOf(record)
		if len(sections) == 0 { // another tenant's
			continue
		}
		line, err := x.entry(ctx, record, sections)
		if err != nil {
			return Trailer{}, fmt.Errorf("record at position %d: %w", record.Position(), err)
		}
		if err := to.write(line); err != nil {
			return Trailer{}, err
		}
		trailer.Records++
	}
	trailer.SHA256 = hex.EncodeToString(to.sum.Sum(nil))
	if err := to.write(lineJSON{Trailer: &trailerJSON{Records: trailer.Records, SHA256: trailer.SHA256}}); err != nil {
		return Trailer{}, err
	}
	return trailer, to.buffer.Flush()
}

// entry returns the line of a record, with its payload if that is wanted.
func (x *export) entry(ctx context.Context, record audit.ActivityRecord, sections []Section) (lineJSON, error) {
	entry, others := x.header.Subject.entryOf(record, sections, x.config.DiscloseActors)
	origin := record.Origin()
	if x.config.Events == nil || origin.EventID == uuid.Nil {
		return entry.line()
	}
	e, err := x.event(ctx, origin)
	if err != nil {
		return lineJSON{}, err
	}
	if entry.Data, err = x.payload(ctx, e, others); err != nil {
		return lineJSON{}, err
	}
	if entry.Data == nil && len(e.Data) > 0 {
		entry.Masked = append(entry.Masked, "data")
	}
	return entry.line()
}

// event returns the event that a record is derived from. Without it the export
// would not be whole.
func (x *export) event(ctx context.Context, origin audit.Origin) (event.Event, error) {
	query := eventstore.StreamQuery{From: origin.Version, To: origin.Version}
	for e, err := range x.config.Events.ReadStream(ctx, origin.Stream, query) {
		if err != nil || e.ID == origin.EventID {
			return e, err
		}
	}
	return event.Event{}, fmt.Errorf("event %s of %s: %w", origin.EventID, origin.Stream, ErrUnknown)
}

func (x *export) payload(ctx context.Context, e event.Event, others []string) ([]byte, error) {
	switch {
	case x.config.Payload != nil:
		return x.config.Payload(ctx, e)
	case namesIn(e.Data, others):
		return nil, nil
	default:
		return e.Data, nil
	}
}

// lines writes lines and sums them up.
type lines struct {
	buffer *bufio.Writer
	sum    hash.Hash
}

func (l *lines) write(line lineJSON) error {
	content, err := encodeLine(line)
	if err != nil {
		return err
	}
	l.sum.Write(content)
	_, err = l.buffer.Write(content)
	return err
}
