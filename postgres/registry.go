package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

// Registry returns what is decided about projections, for all processes that
// open the schema. A save is a transaction of its own.
func (s *Store) Registry() registry.Store { return decisions{session: s} }

// Registry returns what is decided about projections, bound to the transaction.
// A save that makes a version live waits for other transactions that do so, and
// each save for those that save the same record.
func (t *Tx) Registry() registry.Store { return decisions{session: t} }

// decisions implements [registry.Store].
type decisions struct{ session session }

const (
	recordColumns = "projection, version, state, since, lanes, finished, pause_reason, pause_by, paused_at," +
		" order_kind, order_lanes, order_position, order_reason, order_by, ordered_at, order_problem, revision, updated_at"
	selectRecord = "SELECT " + recordColumns + " FROM evident.projections "
)

// Load implements [registry.Store].
func (d decisions) Load(ctx context.Context, name registry.Name) (found registry.Record, err error) {
	if err := name.Validate(); err != nil {
		return registry.Record{}, err
	}
	err = d.session.call(ctx, "load record", func(ctx context.Context, c conn) error {
		found, err = scanRecord(c.QueryRow(ctx, d.session.sql(selectRecord+"WHERE projection = $1 AND version = $2"), name.Projection, name.Version))
		if errors.Is(err, pgx.ErrNoRows) {
			return registry.ErrNotFound
		}
		return err
	})
	if err != nil {
		return registry.Record{}, err
	}
	return found, nil
}

// The two ways to save a record, each by one statement that finds it as the
// saver believes it or changes nothing. Of savers that race, the later waits for
// the earlier and then sees what that has left.
const (
	saveFirst = `
		INSERT INTO evident.projections (` + recordColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::bigint + 1, coalesce($18::timestamptz, clock_timestamp()))
		ON CONFLICT DO NOTHING
		RETURNING ` + recordColumns
	saveAgain = `
		UPDATE evident.projections SET
			state = $3, since = $4, lanes = $5, finished = $6, pause_reason = $7, pause_by = $8, paused_at = $9,
			order_kind = $10, order_lanes = $11, order_position = $12, order_reason = $13, order_by = $14, ordered_at = $15, order_problem = $16,
			revision = $17::bigint + 1, updated_at = coalesce($18::timestamptz, clock_timestamp())
		 WHERE projection = $1 AND version = $2 AND revision = $17
		RETURNING ` + recordColumns
)

// Save implements [registry.Store].
func (d decisions) Save(ctx context.Context, r registry.Record) (saved registry.Record, err error) {
	if err := registry.Check(r); err != nil {
		return registry.Record{}, err
	}
	err = d.session.call(ctx, "save record", func(ctx context.Context, c conn) error {
		saved, err = d.save(ctx, c, registry.Stored(r))
		return err
	})
	if err != nil {
		return registry.Record{}, err
	}
	return saved, nil
}

func (d decisions) save(ctx context.Context, c conn, r registry.Record) (registry.Record, error) {
	for n := 1; ; n++ {
		saved, err := d.trySave(ctx, c, r)
		if !errors.Is(err, pgx.ErrNoRows) {
			return saved, err
		}
		have, live, err := d.look(ctx, c, r.Name)
		if err != nil {
			return registry.Record{}, err
		}
		if err := registry.CheckSave(r, have, live); err != nil {
			return registry.Record{}, err
		}
		if n == attempts { // another version was live, and has gone in between, again and again
			return registry.Record{}, &registry.LiveError{Name: r.Name}
		}
	}
}

// trySave saves r, or returns [pgx.ErrNoRows] if what is stored is in the way.
func (d decisions) trySave(ctx context.Context, c conn, r registry.Record) (saved registry.Record, err error) {
	args := append(columnsOfRecord(r), d.session.clock())
	switch {
	case r.Revision == 0:
		return scanRecord(c.QueryRow(ctx, d.session.sql(saveFirst), args...))
	case r.State != registry.Live:
		return scanRecord(c.QueryRow(ctx, d.session.sql(saveAgain), args...))
	}
	// An update has no ON CONFLICT. That another version is live is an error,
	// which would end a transaction: a savepoint bears it.
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		saved, err = scanRecord(tx.QueryRow(ctx, d.session.sql(saveAgain), args...))
		return err
	})
	if code, _ := codeOf(err); code == codeUniqueViolation {
		return registry.Record{}, pgx.ErrNoRows
	}
	return saved, err
}

// look returns the revision that a record has, and which other version of the
// projection is live; 0 for none.
func (d decisions) look(ctx context.Context, c conn, name registry.Name) (have uint64, live int, err error) {
	err = c.QueryRow(ctx, d.session.sql(`
		SELECT coalesce(max(revision) FILTER (WHERE version = $2), 0), coalesce(max(version) FILTER (WHERE version <> $2 AND state = $3), 0)
		  FROM evident.projections WHERE projection = $1`), name.Projection, name.Version, string(registry.Live)).Scan(&have, &live)
	return have, live, err
}

// List implements [registry.Store].
func (d decisions) List(ctx context.Context, projection string) (list []registry.Record, err error) {
	err = d.session.call(ctx, "list records", func(ctx context.Context, c conn) error {
		list, err = collect(ctx, c, scanRecord, d.session.sql(selectRecord+"WHERE $1 = '' OR projection = $1 ORDER BY projection, version"), projection)
		return err
	})
	return list, err
}

// columnsOfRecord returns a record in the order of recordColumns, without the
// last.
func columnsOfRecord(r registry.Record) []any {
	return []any{
		r.Name.Projection, r.Name.Version, string(r.State), r.Since, r.Lanes, r.Finished,
		r.Pause.Reason, string(r.Pause.By), stored(r.Pause.At),
		string(r.Order.Kind), r.Order.Lanes, signed(r.Order.Position), r.Order.Reason, string(r.Order.By), stored(r.Order.At), r.Order.Problem,
		signed(r.Revision),
	}
}

// scanRecord reads recordColumns.
func scanRecord(row pgx.Row) (registry.Record, error) {
	var (
		r                                registry.Record
		state, pausedBy, kind, orderedBy string
		pausedAt, orderedAt              *time.Time
	)
	err := row.Scan(&r.Name.Projection, &r.Name.Version, &state, &r.Since, &r.Lanes, &r.Finished,
		&r.Pause.Reason, &pausedBy, &pausedAt,
		&kind, &r.Order.Lanes, &r.Order.Position, &r.Order.Reason, &orderedBy, &orderedAt, &r.Order.Problem,
		&r.Revision, &r.UpdatedAt)
	r.State, r.Since = registry.State(state), event.Time(r.Since)
	r.Pause.By, r.Pause.At = event.ActorID(pausedBy), restored(pausedAt)
	r.Order.Kind, r.Order.By, r.Order.At = registry.Kind(kind), event.ActorID(orderedBy), restored(orderedAt)
	r.UpdatedAt = event.Time(r.UpdatedAt)
	return r, err
}
