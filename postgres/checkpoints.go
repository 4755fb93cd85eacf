package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/checkpoint"
)

// checkpoints implements [checkpoint.Store].
type checkpoints struct{ session session }

// Load implements [checkpoint.Store].
func (c checkpoints) Load(ctx context.Context, key checkpoint.Key) (found checkpoint.Checkpoint, err error) {
	if err := key.Validate(); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	err = c.session.call(ctx, "load checkpoint", func(ctx context.Context, q conn) error {
		found, err = c.standing(ctx, q, key)
		return err
	})
	return found, err
}

// The two ways to move a checkpoint, each by one statement that finds it where
// the mover believes it or changes nothing. Of movers that race, the later waits
// for the earlier and then sees what that has left.
const (
	moveOn = `
		UPDATE evident.checkpoints SET position = $5, store_id = $6, fence = $7, updated_at = coalesce($8::timestamptz, clock_timestamp())
		 WHERE projection = $1 AND version = $2 AND lane = $3 AND position = $4 AND fence <= $7 AND (store_id IS NULL OR store_id = $6)`
	moveFirst = `
		INSERT INTO evident.checkpoints AS c (projection, version, lane, position, store_id, fence, updated_at)
		VALUES ($1, $2, $3, $5, $6, $7, coalesce($8::timestamptz, clock_timestamp()))
		ON CONFLICT (projection, version, lane)
		DO UPDATE SET position = excluded.position, store_id = excluded.store_id, fence = excluded.fence, updated_at = excluded.updated_at
		 WHERE c.position = $4 AND c.fence <= excluded.fence AND (c.store_id IS NULL OR c.store_id = excluded.store_id)`
)

// Move implements [checkpoint.Store].
func (c checkpoints) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	never := checkpoint.Checkpoint{Key: key, Position: move.From}
	if err := checkpoint.Check(never, key, move); err != nil {
		return err // nothing that is stored could make it right
	}
	statement := moveOn
	if move.From == 0 {
		statement = moveFirst
	}
	return c.session.call(ctx, "move checkpoint", func(ctx context.Context, q conn) error {
		moved, err := q.Exec(ctx, c.session.sql(statement), key.Projection, key.Version, key.Lane,
			signed(move.From), signed(move.To), idOrNull(move.StoreID), signed(move.Fence), c.session.clock())
		if err != nil || moved.RowsAffected() == 1 {
			return err
		}
		return c.refusal(ctx, q, key, move)
	})
}

// refusal says why a move has found nothing to move.
func (c checkpoints) refusal(ctx context.Context, q conn, key checkpoint.Key, move checkpoint.Move) error {
	actual, err := c.standing(ctx, q, key)
	if err != nil {
		return err
	}
	if err := checkpoint.Check(actual, key, move); err != nil {
		return err
	}
	return &checkpoint.MovedError{Key: key, Move: move, Actual: actual} // and moved back since
}

// Reset implements [checkpoint.Store]. The fence stays, so that an owner who
// was taken over cannot move the checkpoint after it, either.
func (c checkpoints) Reset(ctx context.Context, key checkpoint.Key) error {
	if err := key.Validate(); err != nil {
		return err
	}
	return c.session.call(ctx, "reset checkpoint", func(ctx context.Context, q conn) error {
		_, err := q.Exec(ctx, c.session.sql(`
			UPDATE evident.checkpoints SET position = 0, store_id = NULL, updated_at = coalesce($4::timestamptz, clock_timestamp())
			 WHERE projection = $1 AND version = $2 AND lane = $3`),
			key.Projection, key.Version, key.Lane, c.session.clock())
		return err
	})
}

const selectCheckpoint = "SELECT projection, version, lane, position, store_id, fence, updated_at FROM evident.checkpoints "

// List implements [checkpoint.Store].
func (c checkpoints) List(ctx context.Context, projection string) (list []checkpoint.Checkpoint, err error) {
	err = c.session.call(ctx, "list checkpoints", func(ctx context.Context, q conn) error {
		list, err = collect(ctx, q, scanCheckpoint, c.session.sql(selectCheckpoint+"WHERE $1 = '' OR projection = $1 ORDER BY projection, version, lane"), projection)
		return err
	})
	return list, err
}

// standing returns the checkpoint of key, at 0 if it never moved.
func (c checkpoints) standing(ctx context.Context, q conn, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	found, err := scanCheckpoint(q.QueryRow(ctx, c.session.sql(selectCheckpoint+"WHERE projection = $1 AND version = $2 AND lane = $3"), key.Projection, key.Version, key.Lane))
	if errors.Is(err, pgx.ErrNoRows) {
		return checkpoint.Checkpoint{Key: key}, nil
	}
	return found, err
}

func scanCheckpoint(row pgx.Row) (checkpoint.Checkpoint, error) {
	var (
		c       checkpoint.Checkpoint
		store   *uuid.UUID
		updated *time.Time
	)
	err := row.Scan(&c.Key.Projection, &c.Key.Version, &c.Key.Lane, &c.Position, &store, &c.Fence, &updated)
	if store != nil {
		c.StoreID = *store
	}
	c.UpdatedAt = restored(updated)
	return c, err
}
