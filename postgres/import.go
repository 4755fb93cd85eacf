package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

const (
	// importEvents and importBytes bound what an import holds in memory and
	// stores in one transaction.
	importEvents = 5000
	importBytes  = 16 << 20
)

var _ eventstore.Importer = (*Store)(nil)

// Import implements [eventstore.Importer]. It is many times faster than Append:
// up to 5,000 events are stored by COPY in one transaction.
func (s *Store) Import(ctx context.Context, events iter.Seq2[event.Event, error]) (stored int, err error) {
	load := &load{store: s}
	for e, err := range events {
		if err != nil {
			return load.stored, fmt.Errorf("import: %w", err)
		}
		if err := load.add(ctx, e); err != nil {
			return load.stored, err
		}
	}
	return load.stored, load.flush(ctx)
}

// load gathers the events of one transaction of an import.
type load struct {
	store  *Store
	rows   []loadRow
	bytes  int
	stored int
}

// loadRow is an event with its metadata encoded.
type loadRow struct {
	event    event.Event
	metadata []byte
}

// add takes an event in, and stores what is there when it is enough.
func (l *load) add(ctx context.Context, e event.Event) error {
	metadata, err := l.check(&e)
	if err != nil {
		return fmt.Errorf("import event %s: %w", e.ID, err)
	}
	l.rows = append(l.rows, loadRow{event: e, metadata: metadata})
	if l.bytes += len(e.Data) + len(metadata); len(l.rows) < importEvents && l.bytes < importBytes {
		return nil
	}
	return l.flush(ctx)
}

// check refuses what Append would refuse.
func (l *load) check(e *event.Event) ([]byte, error) {
	if err := eventstore.CheckImport(l.store.config.Limits, e); err != nil {
		return nil, err
	}
	return event.EncodeMetadata(e.Metadata)
}

// flush stores what was gathered in one transaction.
func (l *load) flush(ctx context.Context) error {
	if len(l.rows) == 0 {
		return nil
	}
	transact := func(in *inline) error { return l.transact(ctx, in) }
	err := l.store.withInline(ctx, l.store.pool, transact)
	for n := 1; n < attempts && isPassing(err) && ctx.Err() == nil; n++ { // to store it again is safe
		err = l.store.withInline(ctx, l.store.pool, transact)
	}
	if err != nil {
		return l.store.failure("import", err)
	}
	l.rows, l.bytes = l.rows[:0], 0
	l.store.watcher.stored()
	return nil
}

func (l *load) transact(ctx context.Context, in *inline) error {
	t, err := l.store.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = t.Rollback(ctx) }() // after Commit it does nothing
	rows, err := l.due(ctx, t.base)
	if err != nil || len(rows) == 0 {
		return err
	}
	if err := l.copy(ctx, t, in, rows); err != nil {
		return err
	}
	if err := t.Commit(ctx); err != nil {
		return err
	}
	l.stored += len(rows)
	return nil
}

// due returns the events that are to be stored. What another import has stored
// between two looks is not taken for a conflict.
func (l *load) due(ctx context.Context, tx pgx.Tx) ([]loadRow, error) {
	rows, err := l.missing(ctx, tx)
	for err == nil && len(rows) > 0 {
		conflict := l.requireContinuous(ctx, tx, rows)
		if !errors.Is(conflict, eventstore.ErrConflict) {
			return rows, conflict
		}
		had := len(rows)
		if rows, err = l.missing(ctx, tx); err == nil && len(rows) == had {
			return nil, conflict
		}
	}
	return rows, err
}

// missing returns the events that are not stored yet. One that is stored at
// another place is a [*eventstore.DuplicateEventError].
func (l *load) missing(ctx context.Context, tx pgx.Tx) ([]loadRow, error) {
	ids := make([][16]byte, len(l.rows))
	for i := range l.rows {
		ids[i] = l.rows[i].event.ID
	}
	places, err := l.store.places(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	rows := make([]loadRow, 0, len(l.rows))
	for _, row := range l.rows {
		stream, version := eventstore.StreamOf(row.event), row.event.AggregateVersion
		p, stored := places[row.event.ID]
		switch {
		case !stored:
			places[row.event.ID] = place{stream: stream, version: version} // it may come twice
			rows = append(rows, row)
		case p.stream != stream || p.version != version:
			return nil, &eventstore.DuplicateEventError{EventID: row.event.ID, Stream: stream}
		}
	}
	return rows, nil
}

// requireContinuous refuses events that leave a hole in their stream, or fill
// a place that is taken. Versions only grow, so what holds now is not undone by
// a writer who comes in between: he and we cannot both have a version.
func (l *load) requireContinuous(ctx context.Context, tx pgx.Tx, rows []loadRow) error {
	last, err := l.versions(ctx, tx, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		e := &rows[i].event
		stream := eventstore.StreamOf(*e)
		if e.AggregateVersion != last[stream]+1 {
			return &eventstore.ConflictError{Stream: stream, Expected: eventstore.Exact(e.AggregateVersion - 1), Actual: last[stream]}
		}
		last[stream]++
	}
	return nil
}

// versions returns the last versions of all streams that rows belong to.
func (l *load) versions(ctx context.Context, tx pgx.Tx, rows []loadRow) (map[eventstore.Stream]uint64, error) {
	last := make(map[eventstore.Stream]uint64)
	var ids [][16]byte
	var kinds, tenants []string
	for i := range rows {
		stream := eventstore.StreamOf(rows[i].event)
		if _, seen := last[stream]; seen {
			continue
		}
		last[stream] = 0
		ids, kinds, tenants = append(ids, stream.AggregateID), append(kinds, stream.AggregateType), append(tenants, string(stream.TenantID))
	}
	found, err := tx.Query(ctx, l.store.sql(`
		SELECT s.id, s.kind, s.tenant, e.aggregate_version FROM unnest($1::uuid[], $2::text[], $3::text[]) AS s (id, kind, tenant),
		       LATERAL (SELECT aggregate_version FROM evident.events
		                 WHERE aggregate_id = s.id AND aggregate_type = s.kind AND tenant_id = s.tenant
		                 ORDER BY aggregate_version DESC LIMIT 1) AS e`), ids, kinds, tenants)
	if err != nil {
		return nil, err
	}
	var stream eventstore.Stream
	var tenant string
	var version uint64
	_, err = pgx.ForEachRow(found, []any{&stream.AggregateID, &stream.AggregateType, &tenant, &version}, func() error {
		stream.TenantID = event.TenantID(tenant)
		last[stream] = version
		return nil
	})
	return last, err
}

// copy announces the floor, takes positions and stores the events.
func (l *load) copy(ctx context.Context, t *Tx, in *inline, rows []loadRow) error {
	if _, err := t.base.Exec(ctx, l.store.sql("SELECT evident.require_inline($1)"), in.signature); err != nil {
		return err
	}
	position, err := first[int64](ctx, t.base, l.store.sql("SELECT evident.take($1)"), len(rows))
	if err != nil {
		return err
	}
	now, err := l.now(ctx, t.base)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].place(position+int64(i), now)
	}
	if err := l.insert(ctx, t.base, rows); err != nil {
		return err
	}
	for i := range rows {
		if err := in.apply(ctx, t, rows[i].event); err != nil {
			return err
		}
	}
	return nil
}

// insert stores the events.
func (l *load) insert(ctx context.Context, tx pgx.Tx, rows []loadRow) error {
	columns := strings.Split(eventColumns, ", ")
	encoded := &tuples{}
	for i := range rows {
		encoded.begin(len(columns))
		rows[i].encode(encoded)
	}
	table := l.store.sql("evident.events")
	if l.store.walled {
		_, err := encoded.insertInto(ctx, tx, table, columns, orFail)
		return err
	}
	return encoded.copyInto(ctx, tx, table, columns)
}

// now returns the store's time, for events that were not recorded before.
func (l *load) now(ctx context.Context, tx pgx.Tx) (time.Time, error) {
	if now := l.store.clock(); now != nil {
		return *now, nil
	}
	return first[time.Time](ctx, tx, "SELECT clock_timestamp()")
}

// place notes where and when the event is stored.
func (r *loadRow) place(position int64, now time.Time) {
	e := &r.event
	recorded := e.RecordedAt
	if recorded.IsZero() {
		recorded = now
	}
	*e = eventstore.Place(*e, eventstore.StreamOf(*e), e.AggregateVersion, unsigned(position), event.Time(recorded))
}

// encode adds the event's row, in the order of eventColumns.
func (r *loadRow) encode(t *tuples) {
	e := &r.event
	t.int64(signed(e.Position))
	t.int64(signed(e.AggregateVersion))
	t.time(e.OccurredAt)
	t.time(e.RecordedAt)
	t.int64(int64(e.SchemaVersion))
	t.id(e.ID)
	t.id(e.AggregateID)
	t.optionalID(e.CorrelationID)
	t.optionalID(e.CausationID)
	t.text(e.Type)
	t.text(e.AggregateType)
	t.text(string(e.TenantID))
	t.text(string(e.ActorID))
	t.optionalBlob(r.metadata)
	t.blob(e.Data)
}
