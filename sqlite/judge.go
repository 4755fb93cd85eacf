package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// judge decides appends, one after the other, inside a transaction of the
// writer. Each sees what those before it have stored.
type judge struct {
	conn       *connection
	recordedAt time.Time
	row        [placeColumns]driver.Value
}

const lastVersion = "SELECT aggregate_version FROM events WHERE aggregate_id = ? AND aggregate_type = ? AND tenant_id = ? ORDER BY aggregate_version DESC LIMIT 1"

// decide stores an append, or finds that it is stored already, or refuses it.
// A refusal leaves no trace; after any other error the transaction is void.
func (j *judge) decide(ctx context.Context, r *request) (eventstore.Result, error) {
	// A new stream needs no look: if it is not new, the index refuses version 1.
	result, err := j.attempt(ctx, r, false)
	if isDuplicate(err) {
		result, err = j.attempt(ctx, r, true)
	}
	if isDuplicate(err) {
		return j.repeat(ctx, r)
	}
	return result, err
}

// attempt stores an append if its expectations hold. With look it looks at
// every stream, otherwise only at those that are not expected to be new.
func (j *judge) attempt(ctx context.Context, r *request, look bool) (eventstore.Result, error) {
	result := eventstore.Result{RecordedAt: event.Time(j.recordedAt), Versions: make([]uint64, len(r.streams))}
	for i := range r.streams {
		t := &r.streams[i]
		if !look && t.expected == eventstore.NoStream() && t.events() > 0 {
			continue
		}
		actual, err := j.version(ctx, t)
		if err != nil {
			return eventstore.Result{}, err
		}
		if !t.expected.Holds(actual) {
			return j.repeatOr(ctx, r, &eventstore.ConflictError{Stream: t.Stream, Expected: t.expected, Actual: actual})
		}
		result.Versions[i] = actual
	}
	err := j.store(ctx, r, &result)
	return result, err
}

// version returns the last version of a stream.
func (j *judge) version(ctx context.Context, t *target) (uint64, error) {
	found, err := j.conn.first(ctx, j.row[:1], lastVersion, t.id, t.AggregateType, string(t.TenantID))
	if err != nil || !found {
		return 0, err
	}
	d := decoder{row: j.row[:1]}
	return d.unsigned(0), d.err
}

// store inserts all events or none. One insert is undone by SQLite if it fails;
// several are under a savepoint.
func (j *judge) store(ctx context.Context, r *request, result *eventstore.Result) error {
	if r.events <= 1 {
		return j.insert(ctx, r, result)
	}
	if err := j.conn.exec(ctx, "SAVEPOINT one_append"); err != nil {
		return err
	}
	err := j.insert(ctx, r, result)
	if err != nil && !isDuplicate(err) {
		return err
	}
	if err != nil {
		if lost := j.conn.exec(ctx, "ROLLBACK TO one_append"); lost != nil {
			return lost
		}
	}
	if lost := j.conn.exec(ctx, "RELEASE one_append"); lost != nil {
		return lost
	}
	return err
}

// insert inserts all events and notes in result where they are. On entry
// result has the streams' versions before.
func (j *judge) insert(ctx context.Context, r *request, result *eventstore.Result) error {
	insert, err := j.conn.statement(ctx, insertEvent)
	if err != nil {
		return err
	}
	recordedAt := result.RecordedAt.UnixMicro()
	for i := range r.streams {
		t, version := &r.streams[i], result.Versions[i]
		for n := range t.events() {
			version++
			row := t.row(n)
			row[colAggregateVersion].Value, row[colRecordedAt].Value = toInteger(version), recordedAt
			inserted, err := insert.exec(ctx, row)
			if err != nil {
				return err
			}
			position, err := inserted.LastInsertId()
			if err != nil {
				return err
			}
			result.Position = fromInteger(position)
		}
		if result.Versions[i] = version; t.events() == 0 {
			result.Versions[i] = 0
		}
	}
	return nil
}

// repeatOr returns what repeat does if the append was sent before, by the
// signs, and otherwise the refusal.
func (j *judge) repeatOr(ctx context.Context, r *request, refusal error) (eventstore.Result, error) {
	for i := range r.streams {
		if r.streams[i].events() == 0 {
			continue
		}
		if _, stored, err := j.place(ctx, &r.streams[i], 0); err != nil {
			return eventstore.Result{}, err
		} else if stored {
			return j.repeat(ctx, r)
		}
	}
	return eventstore.Result{}, refusal
}

// repeat answers an append that is sent again as it was answered at first. All
// its events have to be where it wants them; expectations on streams that it
// does not write held at that time and are not judged again.
func (j *judge) repeat(ctx context.Context, r *request) (eventstore.Result, error) {
	result := eventstore.Result{Versions: make([]uint64, len(r.streams))}
	for i := range r.streams {
		t := &r.streams[i]
		for n := range t.events() {
			p, stored, err := j.place(ctx, t, n)
			if err != nil {
				return eventstore.Result{}, err
			}
			if !stored {
				return eventstore.Result{}, j.duplicate(ctx, r)
			}
			if p.stream != t.Stream || (n == 0 && !t.expected.Holds(p.version-1)) || (n > 0 && p.version != result.Versions[i]+1) {
				return eventstore.Result{}, &eventstore.DuplicateEventError{EventID: t.eventID(n), Stream: t.Stream}
			}
			result.Versions[i] = p.version
			if p.position > result.Position {
				result.Position, result.RecordedAt = p.position, p.recordedAt
			}
		}
	}
	return result, nil
}

// duplicate names the first event of an append that is stored.
func (j *judge) duplicate(ctx context.Context, r *request) error {
	for i := range r.streams {
		t := &r.streams[i]
		for n := range t.events() {
			_, stored, err := j.place(ctx, t, n)
			if err != nil {
				return err
			}
			if stored {
				return &eventstore.DuplicateEventError{EventID: t.eventID(n), Stream: t.Stream}
			}
		}
	}
	return errNoDuplicate
}

// errNoDuplicate cannot happen as long as the index on ids is sound.
var errNoDuplicate = errors.Join(eventstore.ErrCorrupt, errors.New("an index refuses an event that is not stored"))

// place is where an event is stored.
type place struct {
	stream     eventstore.Stream
	version    uint64
	position   uint64
	recordedAt time.Time
}

const (
	findEvent    = "SELECT aggregate_type, aggregate_id, tenant_id, aggregate_version, position, recorded_at FROM events WHERE event_id = ?"
	placeColumns = 6
)

// place returns where event n of a stream's part is stored, if it is.
func (j *judge) place(ctx context.Context, t *target, n int) (p place, stored bool, err error) {
	stored, err = j.conn.first(ctx, j.row[:], findEvent, t.row(n)[colID].Value)
	if err != nil || !stored {
		return place{}, false, err
	}
	d := decoder{row: j.row[:]}
	p = place{
		stream:     eventstore.Stream{AggregateType: d.text(0), AggregateID: d.id(1), TenantID: event.TenantID(d.text(2))},
		version:    d.unsigned(3),
		position:   d.unsigned(4),
		recordedAt: d.time(5),
	}
	return p, true, d.err
}

// eventID returns the id of event n.
func (t *target) eventID(n int) (id uuid.UUID) {
	if b, ok := t.row(n)[colID].Value.([]byte); ok {
		copy(id[:], b)
	}
	return id
}
