package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ eventstore.Importer = (*Store)(nil)

// importBytes bounds, beside mostPerFlush, what an import holds in memory and
// writes in one transaction.
const importBytes = 16 << 20

// Import implements [eventstore.Importer]. It is faster than Append: about two
// thousand events are written in one transaction. Between two of them appends
// have their turn. It must not be called inside a transaction of the same store,
// for which it would wait for ever.
func (s *Store) Import(ctx context.Context, events iter.Seq2[event.Event, error]) (stored int, err error) {
	l := &load{store: s}
	for e, err := range events {
		if err != nil {
			return l.stored, fmt.Errorf("import: %w", err)
		}
		if err := l.add(&e); err != nil {
			return l.stored, fmt.Errorf("import event %s: %w", e.ID, err)
		}
		if len(l.events) < mostPerFlush && l.bytes < importBytes {
			continue
		}
		if err := l.flush(ctx); err != nil {
			return l.stored, fmt.Errorf("import: %w", err)
		}
	}
	if err := l.flush(ctx); err != nil {
		return l.stored, fmt.Errorf("import: %w", err)
	}
	return l.stored, nil
}

// load gathers the events of one transaction of an import.
type load struct {
	store  *Store
	events []loaded
	bytes  int
	stored int
}

// loaded is an event with its row encoded.
type loaded struct {
	target

	version uint64
}

// add takes an event in.
func (l *load) add(e *event.Event) error {
	if err := eventstore.CheckImport(l.store.config.Limits, e); err != nil {
		return err
	}
	stream := eventstore.StreamOf(*e)
	row, err := encode(nil, stream, e)
	if err != nil {
		return err
	}
	row[colAggregateVersion].Value = toInteger(e.AggregateVersion)
	if !e.RecordedAt.IsZero() {
		row[colRecordedAt].Value = event.Time(e.RecordedAt).UnixMicro()
	}
	id := stream.AggregateID
	t := target{Stream: stream, expected: eventstore.Exact(e.AggregateVersion - 1), rows: row, id: id[:]}
	l.events = append(l.events, loaded{target: t, version: e.AggregateVersion})
	l.bytes += len(e.Data)
	if metadata, ok := row[colMetadata].Value.(string); ok {
		l.bytes += len(metadata)
	}
	return nil
}

// flush stores what was gathered in one transaction. Once it has begun it is
// finished, so that its outcome is known.
func (l *load) flush(ctx context.Context) error {
	s := l.store
	if err := s.usable(ctx); err != nil || len(l.events) == 0 {
		return err
	}
	if err := s.writer.acquire(ctx); err != nil {
		return err
	}
	n, err := l.transact(ctx)
	s.writer.release()
	if err != nil {
		return translate("import", s.config.Path, err)
	}
	l.stored += n
	l.events, l.bytes = l.events[:0], 0
	if n > 0 {
		s.wakeups.wake()
	}
	return nil
}

func (l *load) transact(ctx context.Context) (stored int, err error) {
	w := l.store.writer
	if err := w.begin(ctx); err != nil {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx)
	stored, err = l.write(ctx)
	if err != nil {
		return 0, errors.Join(err, w.rollback(ctx))
	}
	if err := w.commit(ctx); err != nil {
		return 0, l.unconfirmed(err)
	}
	return stored, nil
}

// unconfirmed is what is said of a commit that failed, perhaps only in telling
// that it was done.
func (l *load) unconfirmed(err error) error {
	if undone(err) {
		return err
	}
	return &eventstore.OutcomeUnknownError{Stream: l.events[0].Stream, Err: translate("import", l.store.config.Path, err)}
}

// write inserts the events that are new.
func (l *load) write(ctx context.Context) (stored int, err error) {
	j := judge{conn: l.store.writer.conn}
	last := make(map[eventstore.Stream]uint64) // versions
	now := event.Time(l.store.config.Now()).UnixMicro()
	for i := range l.events {
		e := &l.events[i]
		if e.rows[colRecordedAt].Value == nil {
			e.rows[colRecordedAt].Value = now
		}
		actual, known := last[e.Stream]
		if !known {
			if actual, err = j.version(ctx, &e.target); err != nil {
				return 0, err
			}
		}
		added, err := j.take(ctx, e, actual)
		if err != nil {
			return 0, err
		}
		if last[e.Stream] = actual; added {
			last[e.Stream] = e.version
			stored++
		}
	}
	return stored, nil
}

// take inserts an event if it continues its stream, whose last version is
// actual. One that is stored already, in its place, is passed over.
func (j *judge) take(ctx context.Context, e *loaded, actual uint64) (added bool, err error) {
	if e.version == actual+1 {
		err := j.insertOne(ctx, e.rows)
		if !isDuplicate(err) {
			return err == nil, err
		}
	}
	p, stored, err := j.place(ctx, &e.target, 0)
	switch {
	case err != nil:
		return false, err
	case !stored:
		return false, &eventstore.ConflictError{Stream: e.Stream, Expected: e.expected, Actual: actual}
	case p.stream != e.Stream || p.version != e.version:
		return false, &eventstore.DuplicateEventError{EventID: e.eventID(0), Stream: e.Stream}
	default:
		return false, nil
	}
}

// insertOne inserts one row. SQLite undoes it if it fails.
func (j *judge) insertOne(ctx context.Context, row []driver.NamedValue) error {
	insert, err := j.conn.statement(ctx, insertEvent)
	if err != nil {
		return err
	}
	_, err = insert.exec(ctx, row)
	return err
}
