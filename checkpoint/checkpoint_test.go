package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/event"
)

var (
	titles = checkpoint.Key{Projection: "titles", Version: 1}
	home   = uuid.MustParse("01900000-0000-7000-8000-000000000001")
	other  = uuid.MustParse("01900000-0000-7000-8000-000000000002")
)

func TestKeyString(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "titles v1", titles.String())
	assert.Equal(t, "titles v2 lane 3", checkpoint.Key{Projection: "titles", Version: 2, Lane: 3}.String())
}

func TestKeyValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, titles.Validate())
	require.NoError(t, checkpoint.Key{Projection: strings.Repeat("n", event.MaxNameBytes), Version: 9, Lane: 7}.Validate())

	for want, key := range map[string]checkpoint.Key{
		"invalid projection: must not be empty":                   {Version: 1},
		`invalid projection "a\nb": contains a control character`: {Projection: "a\nb", Version: 1},
		"invalid version: of projection titles must be 1 or more": {Projection: "titles"},
		"invalid lane: of projection titles must not be negative": {Projection: "titles", Version: 1, Lane: -1},
	} {
		err := key.Validate()
		require.ErrorIs(t, err, event.ErrInvalid)
		require.EqualError(t, err, want)
	}
	long := checkpoint.Key{Projection: strings.Repeat("n", event.MaxNameBytes+1), Version: 1}
	require.ErrorIs(t, long.Validate(), event.ErrTooLarge)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	never := checkpoint.Checkpoint{Key: titles}
	at10 := checkpoint.Checkpoint{Key: titles, Position: 10, StoreID: home, Fence: 5}
	reset := checkpoint.Checkpoint{Key: titles, Fence: 5}

	for name, c := range map[string]struct {
		actual checkpoint.Checkpoint
		move   checkpoint.Move
		want   error
	}{
		"the first move":           {never, checkpoint.Move{To: 1, StoreID: home}, nil},
		"the first move, fenced":   {never, checkpoint.Move{To: 1, StoreID: home, Fence: 9}, nil},
		"from where it stands":     {at10, checkpoint.Move{From: 10, To: 11, StoreID: home, Fence: 5}, nil},
		"to where it stands":       {at10, checkpoint.Move{From: 10, To: 10, StoreID: home, Fence: 5}, nil},
		"with a greater fence":     {at10, checkpoint.Move{From: 10, To: 11, StoreID: home, Fence: 6}, nil},
		"in another store, reset":  {reset, checkpoint.Move{To: 1, StoreID: other, Fence: 5}, nil},
		"from behind":              {at10, checkpoint.Move{From: 9, To: 11, StoreID: home, Fence: 5}, checkpoint.ErrMoved},
		"from before":              {at10, checkpoint.Move{From: 11, To: 12, StoreID: home, Fence: 5}, checkpoint.ErrMoved},
		"never moved, from behind": {never, checkpoint.Move{From: 1, To: 2, StoreID: home}, checkpoint.ErrMoved},
		"with a smaller fence":     {at10, checkpoint.Move{From: 10, To: 11, StoreID: home, Fence: 4}, checkpoint.ErrMoved},
		"reset, by a former owner": {reset, checkpoint.Move{To: 1, StoreID: home, Fence: 4}, checkpoint.ErrMoved},
		"in another store":         {at10, checkpoint.Move{From: 10, To: 11, StoreID: other, Fence: 5}, checkpoint.ErrOtherStore},
		"back":                     {at10, checkpoint.Move{From: 10, To: 9, StoreID: home, Fence: 5}, event.ErrInvalid},
	} {
		err := checkpoint.Check(c.actual, titles, c.move)
		if c.want == nil {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, c.want, name)
		}
	}
	require.ErrorIs(t, checkpoint.Check(never, checkpoint.Key{}, checkpoint.Move{To: 1}), event.ErrInvalid)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	at10 := checkpoint.Checkpoint{Key: titles, Position: 10, StoreID: home, Fence: 5}

	err := checkpoint.Check(at10, titles, checkpoint.Move{From: 7, To: 8, StoreID: home, Fence: 5})
	require.EqualError(t, err, "checkpoint of titles v1 stands at 10, not at 7")
	require.NotErrorIs(t, err, checkpoint.ErrOtherStore)

	err = checkpoint.Check(at10, titles, checkpoint.Move{From: 10, To: 11, StoreID: home, Fence: 3})
	require.EqualError(t, err, "checkpoint of titles v1 was taken over: fence 3 is now 5")

	err = checkpoint.Check(at10, titles, checkpoint.Move{From: 10, To: 11, StoreID: other, Fence: 5})
	require.EqualError(t, err, "checkpoint of titles v1 belongs to event store 01900000-0000-7000-8000-000000000001, "+
		"this is 01900000-0000-7000-8000-000000000002: reset the projection to rebuild it from this store")
	require.NotErrorIs(t, err, checkpoint.ErrMoved)

	err = checkpoint.Check(at10, titles, checkpoint.Move{From: 10, To: 9, StoreID: home})
	require.EqualError(t, err, "invalid to: a checkpoint never moves back, from 10 to 9")
}

func TestAheadError(t *testing.T) {
	t.Parallel()
	err := &checkpoint.AheadError{Key: checkpoint.Key{Projection: "titles", Version: 2}, Position: 9, Head: 7}
	require.ErrorIs(t, err, checkpoint.ErrOtherStore)
	assert.Equal(t, "checkpoint of titles v2 stands at 9, the event store ends at 7: it was restored from an older copy; reset the projection to rebuild it from this store", err.Error())
}
