package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/eventstore"
)

// snapshots implements [aggregate.SnapshotStore].
type snapshots struct{ session session }

const thisStream = " WHERE aggregate_id = ? AND aggregate_type = ? AND tenant_id = ?"

func identityOf(s *eventstore.Stream) []any {
	return []any{s.AggregateID[:], s.AggregateType, string(s.TenantID)}
}

// Load implements [aggregate.SnapshotStore].
func (s snapshots) Load(ctx context.Context, stream eventstore.Stream) (aggregate.Snapshot, bool, error) {
	var (
		found   = aggregate.Snapshot{Stream: stream}
		store   stored
		version int64
		taken   moment
	)
	err := s.session.read(ctx, "load snapshot", func(q querier) error {
		return q.QueryRowContext(ctx, "SELECT store_id, version, schema_version, state, taken_at FROM snapshots"+thisStream, identityOf(&stream)...).
			Scan(&store, &version, &found.SchemaVersion, &found.State, &taken)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return aggregate.Snapshot{}, false, nil
	}
	if err != nil {
		return aggregate.Snapshot{}, false, err
	}
	found.StoreID, found.Version, found.TakenAt = uuid.UUID(store), fromInteger(version), time.Time(taken)
	return found, true, nil
}

// Save implements [aggregate.SnapshotStore].
func (s snapshots) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if err := snapshot.Validate(); err != nil {
		return err
	}
	return s.session.write(ctx, "save snapshot", func(q querier) error {
		state := snapshot.State
		if state == nil {
			state = []byte{}
		}
		_, err := q.ExecContext(ctx, `INSERT INTO snapshots (aggregate_id, aggregate_type, tenant_id, store_id, version, schema_version, state, taken_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET store_id = excluded.store_id, version = excluded.version, schema_version = excluded.schema_version,
				state = excluded.state, taken_at = excluded.taken_at
			WHERE excluded.version >= snapshots.version`,
			append(identityOf(&snapshot.Stream), storedID(snapshot.StoreID), toInteger(snapshot.Version), snapshot.SchemaVersion, state, storedTime(snapshot.TakenAt))...)
		return err
	})
}

// Delete implements [aggregate.SnapshotStore].
func (s snapshots) Delete(ctx context.Context, stream eventstore.Stream) error {
	return s.session.write(ctx, "delete snapshot", func(q querier) error {
		_, err := q.ExecContext(ctx, "DELETE FROM snapshots"+thisStream, identityOf(&stream)...)
		return err
	})
}
