package jetstream

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/checkpoint"
)

// checkpoints implements [checkpoint.Store].
type checkpoints struct{ session session }

// checkpointValue is a checkpoint as it is stored.
type checkpointValue struct {
	Projection string    `json:"projection"`
	Version    int       `json:"version"`
	Lane       int       `json:"lane"`
	Position   uint64    `json:"position"`
	StoreID    uuid.UUID `json:"store_id,omitzero"`
	Fence      uint64    `json:"fence,omitempty"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func (v checkpointValue) checkpoint() checkpoint.Checkpoint {
	return checkpoint.Checkpoint{
		Key:      checkpoint.Key{Projection: v.Projection, Version: v.Version, Lane: v.Lane},
		Position: v.Position, StoreID: v.StoreID, Fence: v.Fence, UpdatedAt: v.UpdatedAt,
	}
}

func checkpointKey(k checkpoint.Key) string {
	return progressKey(checkpointKeys, keyPart(k.Projection), strconv.Itoa(k.Version), strconv.Itoa(k.Lane))
}

// standing returns the checkpoint of key, at 0 if it never moved.
func standing(ctx context.Context, d *draft, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	value, found, err := load[checkpointValue](ctx, d, checkpointKey(key))
	if err != nil || !found {
		return checkpoint.Checkpoint{Key: key}, err
	}
	return value.checkpoint(), nil
}

// Load implements [checkpoint.Store].
func (c checkpoints) Load(ctx context.Context, key checkpoint.Key) (found checkpoint.Checkpoint, err error) {
	if err := key.Validate(); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	err = c.session.look(ctx, func(ctx context.Context, d *draft) error {
		d.show(checkpointKey(key))
		found, err = standing(ctx, d, key)
		return err
	})
	return found, err
}

// Move implements [checkpoint.Store].
func (c checkpoints) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	if err := key.Validate(); err != nil {
		return err
	}
	now, err := c.session.clock(ctx)
	if err != nil {
		return err
	}
	return c.session.change(ctx, func(ctx context.Context, d *draft) error {
		actual, err := standing(ctx, d, key)
		if err != nil {
			return err
		}
		if err := checkpoint.Check(actual, key, move); err != nil {
			return err
		}
		return store(d, checkpointKey(key), checkpointValue{
			Projection: key.Projection, Version: key.Version, Lane: key.Lane,
			Position: move.To, StoreID: move.StoreID, Fence: move.Fence, UpdatedAt: now,
		})
	})
}

// Reset implements [checkpoint.Store]. The fence stays, so that an owner who
// was taken over cannot move the checkpoint after it, either.
func (c checkpoints) Reset(ctx context.Context, key checkpoint.Key) error {
	if err := key.Validate(); err != nil {
		return err
	}
	now, err := c.session.clock(ctx)
	if err != nil {
		return err
	}
	return c.session.change(ctx, func(ctx context.Context, d *draft) error {
		value, found, err := load[checkpointValue](ctx, d, checkpointKey(key))
		if err != nil || !found {
			return err
		}
		value.Position, value.StoreID, value.UpdatedAt = 0, uuid.Nil, now
		return store(d, checkpointKey(key), value)
	})
}

// List implements [checkpoint.Store].
func (c checkpoints) List(ctx context.Context, projection string) (list []checkpoint.Checkpoint, err error) {
	pattern := below(checkpointKeys)
	if projection != "" {
		pattern = below(progressKey(checkpointKeys, keyPart(projection)))
	}
	err = c.session.look(ctx, func(ctx context.Context, d *draft) error {
		values, err := listValues[checkpointValue](ctx, d, pattern)
		list = make([]checkpoint.Checkpoint, 0, len(values))
		for _, v := range values {
			list = append(list, v.checkpoint())
		}
		return err
	})
	slices.SortFunc(list, func(a, b checkpoint.Checkpoint) int {
		return cmp.Or(cmp.Compare(a.Key.Projection, b.Key.Projection), a.Key.Version-b.Key.Version, a.Key.Lane-b.Key.Lane)
	})
	return list, err
}
