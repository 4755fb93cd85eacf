package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// Registry returns what is decided about projections, for all processes that
// open the file. A save is a transaction of its own and waits for its turn.
func (s *Store) Registry() registry.Store { return decisions{session: s} }

// Registry returns what is decided about projections, bound to the transaction.
func (t *Tx) Registry() registry.Store { return decisions{session: t} }

// decisions implements [registry.Store].
type decisions struct{ session session }

const (
	recordColumns = "projection, version, state, since, lanes, finished, pause_reason, pause_by, paused_at," +
		" order_kind, order_lanes, order_position, order_reason, order_by, ordered_at, order_problem, revision, updated_at"
	selectRecord = "SELECT " + recordColumns + " FROM projections "
)

// Load implements [registry.Store].
func (d decisions) Load(ctx context.Context, name registry.Name) (found registry.Record, err error) {
	if err := name.Validate(); err != nil {
		return registry.Record{}, err
	}
	err = d.session.read(ctx, "load record", func(q querier) error {
		found, err = scanRecord(q.QueryRowContext(ctx, selectRecord+"WHERE projection = ? AND version = ?", name.Projection, name.Version))
		if errors.Is(err, sql.ErrNoRows) {
			return registry.ErrNotFound
		}
		return err
	})
	if err != nil {
		return registry.Record{}, err
	}
	return found, nil
}

// Save implements [registry.Store]. Nobody else writes between the look and the
// save, so the look decides.
func (d decisions) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if err := registry.Check(r); err != nil {
		return registry.Record{}, err
	}
	saved := registry.Stored(r)
	saved.Revision, saved.UpdatedAt = r.Revision+1, d.session.clock()
	err := d.session.write(ctx, "save record", func(q querier) error {
		have, live, err := look(ctx, q, r.Name)
		if err != nil {
			return err
		}
		if err := registry.CheckSave(r, have, live); err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, "INSERT INTO projections ("+recordColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (projection, version) DO UPDATE SET
				state = excluded.state, since = excluded.since, lanes = excluded.lanes, finished = excluded.finished,
				pause_reason = excluded.pause_reason, pause_by = excluded.pause_by, paused_at = excluded.paused_at,
				order_kind = excluded.order_kind, order_lanes = excluded.order_lanes, order_position = excluded.order_position,
				order_reason = excluded.order_reason, order_by = excluded.order_by, ordered_at = excluded.ordered_at,
				order_problem = excluded.order_problem, revision = excluded.revision, updated_at = excluded.updated_at`, columnsOf(saved)...)
		return err
	})
	if err != nil {
		return registry.Record{}, err
	}
	return saved, nil
}

// look returns the revision that a record has, and which other version of the
// projection is live; 0 for none.
func look(ctx context.Context, q querier, name registry.Name) (have uint64, live int, err error) {
	var revision int64
	err = q.QueryRowContext(ctx, `
		SELECT coalesce(max(revision) FILTER (WHERE version = ?2), 0), coalesce(max(version) FILTER (WHERE version <> ?2 AND state = ?3), 0)
		  FROM projections WHERE projection = ?1`, name.Projection, name.Version, string(registry.Live)).Scan(&revision, &live)
	return fromInteger(revision), live, err
}

// List implements [registry.Store].
func (d decisions) List(ctx context.Context, projection string) (list []registry.Record, err error) {
	err = d.session.read(ctx, "list records", func(q querier) error {
		rows, err := q.QueryContext(ctx, selectRecord+"WHERE ?1 = '' OR projection = ?1 ORDER BY projection, version", projection)
		list, err = collect(rows, err, scanRecord)
		return err
	})
	return list, err
}

// columnsOf returns a record in the order of recordColumns.
func columnsOf(r registry.Record) []any {
	return []any{
		r.Name.Projection, r.Name.Version, string(r.State), storedTime(r.Since), r.Lanes, r.Finished,
		r.Pause.Reason, string(r.Pause.By), storedTime(r.Pause.At),
		string(r.Order.Kind), r.Order.Lanes, toInteger(r.Order.Position), r.Order.Reason, string(r.Order.By), storedTime(r.Order.At), r.Order.Problem,
		toInteger(r.Revision), storedTime(r.UpdatedAt),
	}
}

// scanRecord reads recordColumns.
func scanRecord(row scanner) (registry.Record, error) {
	var (
		r                                  registry.Record
		state, pausedBy, kind, orderedBy   string
		position, revision                 int64
		since, pausedAt, orderedAt, update moment
	)
	err := row.Scan(&r.Name.Projection, &r.Name.Version, &state, &since, &r.Lanes, &r.Finished,
		&r.Pause.Reason, &pausedBy, &pausedAt,
		&kind, &r.Order.Lanes, &position, &r.Order.Reason, &orderedBy, &orderedAt, &r.Order.Problem,
		&revision, &update)
	r.State, r.Since = registry.State(state), time.Time(since)
	r.Pause.By, r.Pause.At = event.ActorID(pausedBy), time.Time(pausedAt)
	r.Order.Kind, r.Order.Position = registry.Kind(kind), fromInteger(position)
	r.Order.By, r.Order.At = event.ActorID(orderedBy), time.Time(orderedAt)
	r.Revision, r.UpdatedAt = fromInteger(revision), time.Time(update)
	return r, err
}
