package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

var _ audit.Appender = (*audit.Log)(nil)

func TestNewLogRefuses(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	records := audit.Replay(store, audit.Config{})
	hook := func(context.Context, *audit.Draft) error { return nil }
	after := func(context.Context, audit.ActivityRecord) error { return nil }
	for field, open := range map[string]func() (*audit.Log, error){
		"events":  func() (*audit.Log, error) { return audit.NewLog(nil, records, audit.LogConfig{}) },
		"records": func() (*audit.Log, error) { return audit.NewLog(store, nil, audit.LogConfig{}) },
		"hook_timeout": func() (*audit.Log, error) {
			return audit.NewLog(store, records, audit.LogConfig{HookTimeout: -time.Second})
		},
		"before[1]": func() (*audit.Log, error) {
			return audit.NewLog(store, records, audit.LogConfig{Before: []audit.BeforeAppend{hook, nil}})
		},
		"after[1]": func() (*audit.Log, error) {
			return audit.NewLog(store, records, audit.LogConfig{After: []audit.AfterAppend{after, nil}})
		},
		"report": func() (*audit.Log, error) {
			return audit.NewLog(store, records, audit.LogConfig{After: []audit.AfterAppend{after}})
		},
	} {
		log, err := open()
		require.ErrorIs(t, err, event.ErrInvalid, field)
		require.ErrorContains(t, err, field)
		assert.Nil(t, log)
	}
}

func TestAppendWithRefusesNobody(t *testing.T) {
	t.Parallel()
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
	require.NoError(t, err)
	_, err = log.AppendWith(t.Context(), nil, audit.Draft{})
	require.ErrorIs(t, err, audit.ErrInvalid)
	var unbound refusing
	_, err = log.AppendWith(t.Context(), unbound, audit.Draft{Action: "a", Entity: audit.EntityRef{Type: "T", ID: "1"}})
	require.ErrorIs(t, err, errRefused)
	_, err = log.AppendWith(t.Context(), unbound, audit.Draft{Action: "?", Entity: audit.EntityRef{Type: "T", ID: "1"}})
	require.ErrorIs(t, err, audit.ErrInvalid)
}

// refusing is a unit that nobody can join.
type refusing struct{}

var errRefused = errors.New("refused")

func (refusing) Pending() []event.Event { return nil }

func (refusing) Join(eventstore.Append, func(context.Context, eventstore.Result)) error {
	return errRefused
}

func TestStoreErrorsComeThrough(t *testing.T) {
	t.Parallel()
	log, err := memory.OpenActivityLog(t.Context(), audit.LogConfig{})
	require.NoError(t, err)
	require.NoError(t, log.Store().Close())
	draft := audit.Draft{Action: "a", Entity: audit.EntityRef{Type: "T", ID: "1"}}
	_, err = log.Append(t.Context(), draft)
	require.ErrorIs(t, err, eventstore.ErrClosed)
	draft.ID = event.NewID()
	_, err = log.Append(t.Context(), draft)
	require.ErrorIs(t, err, eventstore.ErrClosed)
}

// What somebody else stored under the names of an explicit activity is an
// event like any other.
func TestForeignActivityRecorded(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"not JSON":     `{`,
		"other fields": `{"what":"ever"}`,
		"a bad action": `{"action":"Export!","entity":{"type":"T","id":"1"},"outcome":"success"}`,
	} {
		e := created(1, func(e *event.Event) {
			e.AggregateType, e.Type, e.Data = audit.ActivityStream, audit.RecordedType, []byte(data)
		})
		record, err := audit.FromEvent(e, audit.Config{})
		require.NoError(t, err, name)
		assert.Equal(t, "activity.recorded", record.Action(), name)
		assert.Equal(t, e.ID, record.Origin().EventID, name)
	}
}
