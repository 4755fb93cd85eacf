package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// snapshots implements [aggregate.SnapshotStore].
type snapshots struct{ store *Store }

const thisStream = " WHERE aggregate_id = $1 AND aggregate_type = $2 AND tenant_id = $3"

// Load implements [aggregate.SnapshotStore].
func (s snapshots) Load(ctx context.Context, stream eventstore.Stream) (aggregate.Snapshot, bool, error) {
	found := aggregate.Snapshot{Stream: stream}
	err := s.store.call(ctx, "load snapshot", func(ctx context.Context, c conn) error {
		return c.QueryRow(ctx, s.store.sql("SELECT store_id, version, schema_version, state, taken_at FROM evident.snapshots"+thisStream),
			stream.AggregateID, stream.AggregateType, string(stream.TenantID)).
			Scan(&found.StoreID, &found.Version, &found.SchemaVersion, &found.State, &found.TakenAt)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return aggregate.Snapshot{}, false, nil
	}
	if err != nil {
		return aggregate.Snapshot{}, false, err
	}
	found.TakenAt = event.Time(found.TakenAt)
	return found, true, nil
}

// Save implements [aggregate.SnapshotStore].
func (s snapshots) Save(ctx context.Context, snapshot aggregate.Snapshot) error {
	if err := snapshot.Validate(); err != nil {
		return err
	}
	state := snapshot.State
	if state == nil {
		state = []byte{}
	}
	return s.store.call(ctx, "save snapshot", func(ctx context.Context, c conn) error {
		_, err := c.Exec(ctx, s.store.sql(`
			INSERT INTO evident.snapshots AS s (aggregate_id, aggregate_type, tenant_id, store_id, version, schema_version, state, taken_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (aggregate_id, aggregate_type, tenant_id) DO UPDATE
			   SET store_id = excluded.store_id, version = excluded.version, schema_version = excluded.schema_version,
			       state = excluded.state, taken_at = excluded.taken_at
			 WHERE excluded.version >= s.version`),
			snapshot.Stream.AggregateID, snapshot.Stream.AggregateType, string(snapshot.Stream.TenantID),
			snapshot.StoreID, signed(snapshot.Version), snapshot.SchemaVersion, state, event.Time(snapshot.TakenAt))
		return err
	})
}

// Delete implements [aggregate.SnapshotStore].
func (s snapshots) Delete(ctx context.Context, stream eventstore.Stream) error {
	return s.store.call(ctx, "delete snapshot", func(ctx context.Context, c conn) error {
		_, err := c.Exec(ctx, s.store.sql("DELETE FROM evident.snapshots"+thisStream), stream.AggregateID, stream.AggregateType, string(stream.TenantID))
		return err
	})
}
