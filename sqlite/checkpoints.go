package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/checkpoint"
)

// checkpoints implements [checkpoint.Store].
type checkpoints struct{ session session }

const selectCheckpoint = "SELECT projection, version, lane, position, store_id, fence, updated_at FROM checkpoints "

// Load implements [checkpoint.Store].
func (c checkpoints) Load(ctx context.Context, key checkpoint.Key) (found checkpoint.Checkpoint, err error) {
	if err := key.Validate(); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	err = c.session.read(ctx, "load checkpoint", func(q querier) error {
		found, err = standing(ctx, q, key)
		return err
	})
	return found, err
}

// Move implements [checkpoint.Store]. Nobody else writes between the look and
// the move, so the look decides.
func (c checkpoints) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	if err := key.Validate(); err != nil {
		return err
	}
	return c.session.write(ctx, "move checkpoint", func(q querier) error {
		actual, err := standing(ctx, q, key)
		if err != nil {
			return err
		}
		if err := checkpoint.Check(actual, key, move); err != nil {
			return err
		}
		_, err = q.ExecContext(ctx, `INSERT INTO checkpoints (projection, version, lane, position, store_id, fence, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET position = excluded.position, store_id = excluded.store_id, fence = excluded.fence, updated_at = excluded.updated_at`,
			key.Projection, key.Version, key.Lane, toInteger(move.To), storedID(move.StoreID), toInteger(move.Fence), storedTime(c.session.clock()))
		return err
	})
}

// Reset implements [checkpoint.Store]. The fence stays, so that an owner who
// was taken over cannot move the checkpoint after it, either.
func (c checkpoints) Reset(ctx context.Context, key checkpoint.Key) error {
	if err := key.Validate(); err != nil {
		return err
	}
	return c.session.write(ctx, "reset checkpoint", func(q querier) error {
		_, err := q.ExecContext(ctx, "UPDATE checkpoints SET position = 0, store_id = NULL, updated_at = ? WHERE projection = ? AND version = ? AND lane = ?",
			storedTime(c.session.clock()), key.Projection, key.Version, key.Lane)
		return err
	})
}

// List implements [checkpoint.Store].
func (c checkpoints) List(ctx context.Context, projection string) (list []checkpoint.Checkpoint, err error) {
	err = c.session.read(ctx, "list checkpoints", func(q querier) error {
		rows, err := q.QueryContext(ctx, selectCheckpoint+"WHERE ?1 = '' OR projection = ?1 ORDER BY projection, version, lane", projection)
		list, err = collect(rows, err, scanCheckpoint)
		return err
	})
	return list, err
}

// standing returns the checkpoint of key, at 0 if it never moved.
func standing(ctx context.Context, q querier, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	row := q.QueryRowContext(ctx, selectCheckpoint+"WHERE projection = ? AND version = ? AND lane = ?", key.Projection, key.Version, key.Lane)
	found, err := scanCheckpoint(row)
	if errors.Is(err, sql.ErrNoRows) {
		return checkpoint.Checkpoint{Key: key}, nil
	}
	return found, err
}

func scanCheckpoint(row scanner) (checkpoint.Checkpoint, error) {
	var (
		c               checkpoint.Checkpoint
		position, fence int64
		store           stored
		updated         moment
	)
	err := row.Scan(&c.Key.Projection, &c.Key.Version, &c.Key.Lane, &position, &store, &fence, &updated)
	c.Position, c.Fence, c.StoreID, c.UpdatedAt = fromInteger(position), fromInteger(fence), uuid.UUID(store), time.Time(updated)
	return c, err
}
