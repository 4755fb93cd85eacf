package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/evident-go/evident/checkpoint"
)

// checkpoints implements [checkpoint.Store].
type checkpoints struct{ session session }

// Load implements [checkpoint.Store].
func (c checkpoints) Load(ctx context.Context, key checkpoint.Key) (checkpoint.Checkpoint, error) {
	if err := key.Validate(); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	var found checkpoint.Checkpoint
	err := c.session.read(ctx, func(v *view) error {
		found = standing(v, key)
		return nil
	})
	return found, err
}

// Move implements [checkpoint.Store].
func (c checkpoints) Move(ctx context.Context, key checkpoint.Key, move checkpoint.Move) error {
	return c.session.write(ctx, func(v *view) error {
		if err := checkpoint.Check(standing(v, key), key, move); err != nil {
			return err
		}
		v.checkpoints.put(key, checkpoint.Checkpoint{
			Key: key, Position: move.To, StoreID: move.StoreID, Fence: move.Fence, UpdatedAt: c.session.clock(),
		})
		return nil
	})
}

// Reset implements [checkpoint.Store]. The fence stays, so that an owner who
// was taken over cannot move the checkpoint after it, either.
func (c checkpoints) Reset(ctx context.Context, key checkpoint.Key) error {
	if err := key.Validate(); err != nil {
		return err
	}
	return c.session.write(ctx, func(v *view) error {
		if was, found := v.checkpoints.get(key); found {
			v.checkpoints.put(key, checkpoint.Checkpoint{Key: key, Fence: was.Fence, UpdatedAt: c.session.clock()})
		}
		return nil
	})
}

// List implements [checkpoint.Store].
func (c checkpoints) List(ctx context.Context, projection string) ([]checkpoint.Checkpoint, error) {
	var list []checkpoint.Checkpoint
	err := c.session.read(ctx, func(v *view) error {
		for key, row := range v.checkpoints.all() {
			if projection == "" || projection == key.Projection {
				list = append(list, row)
			}
		}
		return nil
	})
	slices.SortFunc(list, func(a, b checkpoint.Checkpoint) int { return compareKeys(a.Key, b.Key) })
	return list, err
}

// standing returns the checkpoint of key, at 0 if it never moved.
func standing(v *view, key checkpoint.Key) checkpoint.Checkpoint {
	row, _ := v.checkpoints.get(key)
	row.Key = key
	return row
}

func compareKeys(a, b checkpoint.Key) int {
	return cmp.Or(cmp.Compare(a.Projection, b.Projection), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Lane, b.Lane))
}
