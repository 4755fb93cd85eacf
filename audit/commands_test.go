package audit_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

var titles = registry.Name{Projection: "titles", Version: 1}

// operated is a store with a live projection, a control of it, and a log in
// which that records its commands.
type operated struct {
	store   *memory.Store
	log     *audit.Log
	control *projection.Control
	save    func(registry.Record) error // asked before a record is saved
}

func operate(t *testing.T, change ...func(*audit.LogConfig)) *operated {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	config := audit.LogConfig{Now: func() time.Time { return start.Add(time.Second) }}
	for _, c := range change {
		c(&config)
	}
	o := &operated{store: store}
	o.log, err = audit.NewLog(store, audit.Replay(store, audit.Config{}), config)
	require.NoError(t, err)
	o.control, err = projection.NewControl(store, projection.ControlConfig{
		Registry: &guarded{Store: store.Registry(), o: o}, Recorder: audit.CommandLog(o.log), Now: func() time.Time { return start },
	})
	require.NoError(t, err)
	_, err = store.Registry().Save(t.Context(), registry.Record{Name: titles, State: registry.Live, Since: start, Lanes: 1})
	require.NoError(t, err)
	key := checkpoint.Key{Projection: "titles", Version: 1}
	require.NoError(t, store.Checkpoints().Move(t.Context(), key, checkpoint.Move{To: 40, StoreID: store.ID()}))
	return o
}

// guarded is a registry that a test can make fail.
type guarded struct {
	registry.Store

	o *operated
}

func (g *guarded) Save(ctx context.Context, r registry.Record) (registry.Record, error) {
	if g.o.save != nil {
		if err := g.o.save(r); err != nil {
			return registry.Record{}, err
		}
	}
	return g.Store.Save(ctx, r)
}

func as(t *testing.T, name string) context.Context {
	t.Helper()
	return event.WithActor(t.Context(), event.User(name))
}

// Who did what to the projection, when and why: the log answers it.
func TestCommandLogAnswersWhoDidWhatAndWhy(t *testing.T) {
	t.Parallel()
	o := operate(t)
	require.NoError(t, o.control.Pause(as(t, "anna"), titles, "disk is full"))
	require.NoError(t, o.control.Resume(as(t, "bob"), titles, "disk is larger now"))
	require.NoError(t, o.control.Rewind(as(t, "bob"), titles, 20, "handler was wrong"))
	require.ErrorIs(t, o.control.SetLanes(as(t, "carol"), titles, 4, "too slow"), projection.ErrOrdered)
	require.NoError(t, o.control.Withdraw(t.Context(), titles, "carol needs it"))
	require.NoError(t, o.control.SetLanes(as(t, "carol"), titles, 4, "too slow"))

	var told []string
	entity := audit.EntityRef{Type: audit.EntityProjection, ID: "titles v1"}
	for r, err := range o.log.ByEntity(t.Context(), entity, audit.Page{OldestFirst: true}) {
		require.NoError(t, err)
		assert.Equal(t, start, r.OccurredAt())
		assert.Equal(t, audit.Success, r.Outcome())
		assert.Equal(t, "titles", r.Metadata()["projection"])
		assert.Equal(t, int64(1), r.Metadata()["version"])
		told = append(told, strings.Join([]string{string(r.ActorID()), r.Action(), r.Reason()}, " | "))
	}
	assert.Equal(t, []string{
		"user:anna | projection.pause | disk is full",
		"user:bob | projection.resume | disk is larger now",
		"user:bob | projection.rewind | handler was wrong",
		"anonymous | projection.withdraw | carol needs it",
		"user:carol | projection.set_lanes | too slow",
	}, told)
}

func TestCommandLogOfAFailure(t *testing.T) {
	t.Parallel()
	o := operate(t)
	o.save = func(registry.Record) error {
		return errors.Join(eventstore.ErrUnavailable, errors.New("connection refused"))
	}
	require.ErrorIs(t, o.control.Rebuild(as(t, "anna"), titles, "new column"), eventstore.ErrUnavailable)

	records := collect(t, o.log.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: true}}))
	require.Len(t, records, 2)
	asked, failed := records[0], records[1]
	assert.Equal(t, audit.Success, asked.Outcome())
	assert.Equal(t, audit.Failure, failed.Outcome())
	for _, r := range records {
		assert.Equal(t, event.User("anna"), r.ActorID())
		assert.Equal(t, "projection.rebuild", r.Action())
		assert.Equal(t, "new column", r.Reason())
		assert.Equal(t, asked.ID(), r.CorrelationID())
	}
	assert.Equal(t, asked.ID(), failed.CausationID())
	assert.Equal(t, start.Add(time.Second), failed.OccurredAt())
	assert.Equal(t, "rebuild projection titles v1: store is unavailable; connection refused", failed.Metadata()["error"])
	assert.Equal(t, "#1 asked for: rebuild of projection titles v1", asked.String())
	assert.Equal(t, "#2 failed: rebuild of projection titles v1", failed.String())
}

// A log that refuses a command, or cannot be written, refuses the command.
func TestCommandLogThatRefuses(t *testing.T) {
	t.Parallel()
	veto := errors.New("not on a Friday")
	o := operate(t, func(c *audit.LogConfig) {
		c.Before = []audit.BeforeAppend{func(context.Context, *audit.Draft) error { return veto }}
	})
	err := o.control.Rebuild(t.Context(), titles, "new column")
	require.ErrorIs(t, err, projection.ErrNotRecorded)
	require.ErrorIs(t, err, veto)
	r, err := o.store.Registry().Load(t.Context(), titles)
	require.NoError(t, err)
	assert.False(t, r.Ordered())

	err = audit.CommandLog(nil).RecordCommand(t.Context(), projection.Command{})
	require.EqualError(t, err, "invalid log: must not be nil: CommandLog was given none")
}

// The chain of a request goes on in the records of its commands.
func TestCommandLogTakesTheContext(t *testing.T) {
	t.Parallel()
	o := operate(t)
	ctx := event.WithCorrelation(as(t, "anna"), id(77))
	ctx = event.WithMetadata(ctx, event.Metadata{audit.KeyRequest: "req_1"})
	o.save = func(registry.Record) error { return eventstore.ErrUnavailable }
	require.Error(t, o.control.Pause(ctx, titles, "disk is full"))
	for _, r := range collect(t, o.log.Find(t.Context(), audit.Query{})) {
		assert.Equal(t, id(77), r.CorrelationID())
		assert.Equal(t, "req_1", r.Request().ID)
	}
}

// Whatever a command says is among its metadata.
func TestCommandLogSaysEverything(t *testing.T) {
	t.Parallel()
	o := operate(t)
	recorder := audit.CommandLog(o.log)
	long := strings.Repeat("é", 300)
	for want, cmd := range map[string]projection.Command{
		"projection.rewind":      {Kind: projection.RewindCommand, Before: start.Add(time.Microsecond)},
		"projection.set_lanes":   {Kind: projection.SetLanesCommand, Lanes: 8},
		"projection.switch":      {Kind: projection.SwitchCommand, Replaces: 3},
		"projection.abort":       {Kind: projection.AbortCommand, Order: registry.ChangeLanes},
		"projection.retry":       {Kind: projection.RetryCommand, Keys: []string{"a", "b"}},
		"projection.retry_until": {Kind: projection.RetryUntilCommand, Position: 9, Keys: []string{long}},
		"projection.discard":     {Kind: projection.DiscardCommand, Position: 9, Keys: []string{"a"}, EventID: id(9)},
	} {
		cmd.ID, cmd.Name, cmd.At = uuid.New(), titles, start
		require.NoError(t, recorder.RecordCommand(t.Context(), cmd), want)
	}
	got := make(map[string]event.Metadata)
	for _, r := range collect(t, o.log.Find(t.Context(), audit.Query{})) {
		got[r.Action()] = r.Metadata()
		assert.Equal(t, "titles", got[r.Action()]["projection"])
		delete(got[r.Action()], "projection")
		delete(got[r.Action()], "version")
	}
	assert.Equal(t, map[string]event.Metadata{
		"projection.rewind":      {"position": int64(0), "before": "2024-01-15T10:30:00.000001Z"},
		"projection.set_lanes":   {"lanes": int64(8)},
		"projection.switch":      {"replaces": int64(3)},
		"projection.abort":       {"order": "change lanes"},
		"projection.retry":       {"sequences": "a, b"},
		"projection.retry_until": {"position": int64(9), "sequence": strings.Repeat("é", 248) + "…"},
		"projection.discard":     {"position": int64(9), "sequence": "a", "event_id": id(9).String()},
	}, got)
}

// Every kind of command makes a valid action.
func TestCommandLogOfEveryKind(t *testing.T) {
	t.Parallel()
	o := operate(t)
	longest := registry.Name{Projection: strings.Repeat("n", event.MaxNameBytes), Version: 1 << 40}
	for _, kind := range []projection.CommandKind{
		projection.PauseCommand, projection.ResumeCommand, projection.RewindCommand, projection.RebuildCommand, projection.SetLanesCommand,
		projection.SwitchCommand, projection.AbortCommand, projection.RetireCommand, projection.WithdrawCommand, projection.RetryCommand,
		projection.RetryUntilCommand, projection.DiscardCommand,
	} {
		cmd := projection.Command{ID: uuid.New(), Kind: kind, Name: longest, At: start, Reason: strings.Repeat("r", projection.MaxReasonBytes)}
		require.NoError(t, audit.CommandLog(o.log).RecordCommand(t.Context(), cmd), kind)
		cmd.Err = errors.New("a\x00b\xff" + strings.Repeat("e", 1000))
		require.NoError(t, audit.CommandLog(o.log).RecordCommand(t.Context(), cmd), kind)
	}
	assert.Equal(t, audit.MaxReasonBytes, projection.MaxReasonBytes, "what a control takes, a log keeps")
}

// A recorded command that is sent again is stored once.
func TestCommandLogOfOneCommandTwice(t *testing.T) {
	t.Parallel()
	o := operate(t)
	cmd := projection.Command{ID: uuid.New(), Kind: projection.PauseCommand, Name: titles, At: start, Reason: "disk is full"}
	require.NoError(t, audit.CommandLog(o.log).RecordCommand(t.Context(), cmd))
	require.NoError(t, audit.CommandLog(o.log).RecordCommand(t.Context(), cmd))
	assert.Len(t, collect(t, o.log.Find(t.Context(), audit.Query{})), 1)
}

// A discard is in the log, and with the letter.
func TestCommandLogOfADiscard(t *testing.T) {
	t.Parallel()
	o := operate(t)
	s := dlq.Sequence{Projection: "titles", Version: 1, Key: "Document/1"}
	require.NoError(t, o.store.DeadLetters().Park(t.Context(), dlq.Letter{
		Sequence: s, Position: 7, EventID: id(7), EventType: "DocumentCreated", Cause: "no title", Attempts: 3, ParkedAt: start,
	}))
	require.NoError(t, o.control.Discard(as(t, "anna"), titles, s.Key, "a test document"))
	records := collect(t, o.log.Find(t.Context(), audit.Query{Action: "projection.discard"}))
	require.Len(t, records, 1)
	assert.Equal(t, event.User("anna"), records[0].ActorID())
	assert.Equal(t, "a test document", records[0].Reason())
	assert.Equal(t, id(7).String(), records[0].Metadata()["event_id"])
}
