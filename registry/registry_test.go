package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/registry"
)

func TestChangedError(t *testing.T) {
	t.Parallel()
	err := error(&registry.ChangedError{Name: titles, Have: 4, Want: 3})
	require.ErrorIs(t, err, registry.ErrChanged)
	require.NotErrorIs(t, err, registry.ErrLive)
	assert.EqualError(t, err, "record of projection titles v2 has revision 4, not 3: load it again")
}

func TestLiveError(t *testing.T) {
	t.Parallel()
	err := error(&registry.LiveError{Name: titles, Live: 1})
	require.ErrorIs(t, err, registry.ErrLive)
	require.NotErrorIs(t, err, registry.ErrChanged)
	require.NotErrorIs(t, err, event.ErrInvalid)
	require.EqualError(t, err, "projection titles v2 cannot be live: version 1 is")
	assert.EqualError(t, &registry.LiveError{Name: titles}, "projection titles v2 cannot be live: another version comes and goes, try again")
}

func TestRecordSaysWhatIsDecided(t *testing.T) {
	t.Parallel()
	r := registry.Record{Name: titles}
	assert.False(t, r.Paused())
	assert.False(t, r.Ordered())
	r.Pause = registry.Pause{Reason: "tables move", At: noon}
	r.Order = registry.Order{Kind: registry.Rebuild, Reason: "a bug", At: noon}
	assert.True(t, r.Paused())
	assert.True(t, r.Ordered())
	assert.Equal(t, "titles v2", r.Name.String())
}

func TestCheckSave(t *testing.T) {
	t.Parallel()
	r := record()
	require.NoError(t, registry.CheckSave(r, 3, 0))
	require.NoError(t, registry.CheckSave(r, 3, 1), "it is not to be live")
	assert.Equal(t, &registry.ChangedError{Name: titles, Have: 4, Want: 3}, registry.CheckSave(r, 4, 1))
	r.State = registry.Live
	require.NoError(t, registry.CheckSave(r, 3, 0))
	assert.Equal(t, &registry.LiveError{Name: titles, Live: 1}, registry.CheckSave(r, 3, 1))
	assert.Equal(t, &registry.ChangedError{Name: titles, Want: 3}, registry.CheckSave(r, 0, 1), "that it was changed comes first")
}
