package process_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/process"
	"github.com/evident-go/evident/projection"
)

// nameless has a name that its zero value does not know.
type nameless struct{ name *string }

func (n nameless) EventType() string { return *n.name }

func TestDefinitionRefuses(t *testing.T) {
	t.Parallel()
	type part = process.Part[Fulfilment]
	start := process.StartOn(process.ByAggregate, do(func(*process.Instance[Fulfilment]) {}))
	timeout := process.OnTimeout("payment", func(context.Context, *process.Instance[Fulfilment]) error { return nil })
	for want, parts := range map[string][]part{
		"handles no events":     {timeout},
		"part that is nil":      {start, nil},
		"two handlers for the":  {start, timeout, timeout},
		`"payment" is nil`:      {start, process.OnTimeout[Fulfilment]("payment", nil)},
		"invalid timeout":       {start, process.OnTimeout("", func(context.Context, *process.Instance[Fulfilment]) error { return nil })},
		"key or a handler":      {process.StartOn(nil, do(func(*process.Instance[Fulfilment]) {}))},
		"a handler that is nil": {process.On[Fulfilment](process.ByAggregate[OrderPlaced], nil)},
		"has two handlers":      {start, process.On(process.ByAggregate, do(func(*process.Instance[Fulfilment]) {}))},
		"Apply that is nil":     {start, process.Apply[Fulfilment, Asked](nil)},
		"Undo that is nil":      {start, process.Undo[Fulfilment, Asked](nil)},
		"has two undos": {
			start,
			process.Undo(func(context.Context, *process.Instance[Fulfilment], event.Of[Asked]) error { return nil }),
			process.Undo(func(context.Context, *process.Instance[Fulfilment], event.Of[Asked]) error { return nil }),
		},
		"Initial that is nil":        {start, process.Initial[Fulfilment](nil)},
		"owner function that is nil": {start, process.OwnedBy[Fulfilment](nil)},
		"codec that is nil":          {start, process.Codec[Fulfilment](nil)},
		"snapshot version below 1":   {start, process.SnapshotVersion[Fulfilment](0)},
		"must be from 1 to":          {start, process.InLanes[Fulfilment](0)},
		"StartAt must be":            {start, process.StartAt[Fulfilment](9)},
		"actor_id":                   {start, process.ActAs[Fulfilment]("alice")},
		"panics":                     {start, process.Apply(func(*Fulfilment, event.Of[nameless]) {})},
		"zero value of":              {start, process.Undo(func(context.Context, *process.Instance[Fulfilment], event.Of[nameless]) error { return nil })},
		`"ProcessEnded"`:             {start, process.Apply(func(*Fulfilment, event.Of[process.Ended]) {})},
	} {
		d := process.Define("Fulfilment", 1, parts...)
		if want == "has two undos" {
			want = "has two handlers"
		}
		err := d.Validate()
		require.ErrorIs(t, err, event.ErrDefinition, want)
		require.ErrorContains(t, err, want)
		_, err = process.NewManager(openMemory(t), d, process.Config{})
		require.ErrorContains(t, err, want)
	}
	for want, d := range map[string]*process.Definition[Fulfilment]{
		"use process.Define":         nil,
		"version must be 1":          process.Define("Fulfilment", 0, start),
		"aggregate_type":             process.Define("", 1, start),
		"the limit is 128":           process.Define(strings.Repeat("F", 120), 1, start),
		"contains a control charact": process.Define("Ful\nfilment", 1, start),
	} {
		require.ErrorIs(t, d.Validate(), event.ErrDefinition)
		require.ErrorContains(t, d.Validate(), want)
	}
}

func TestDefinitionDeclares(t *testing.T) {
	t.Parallel()
	store, id := openMemory(t), event.NewID()
	d := process.Define("Fulfilment", 3,
		process.StartOn(process.ByAggregate, do(func(p *process.Instance[Fulfilment]) {
			assert.EqualValues(t, 5, p.State().Cents)
			p.Emit(Asked{})
			p.Done()
		})),
		process.Initial(func(got uuid.UUID) Fulfilment { assert.Equal(t, id, got); return Fulfilment{Cents: 5} }),
		process.OwnedBy(func(f Fulfilment) string { return strings.Repeat("x", int(f.Cents)) }),
		process.Codec[Fulfilment](event.JSON{}),
		process.SnapshotVersion[Fulfilment](2),
		process.InLanes[Fulfilment](4),
		process.StartAt[Fulfilment](projection.StartAtFirst),
		process.ActAs[Fulfilment](event.Service("fulfilment")),
		process.Apply(func(*Fulfilment, event.Of[Asked]) {}),
	)
	require.NoError(t, d.Validate())
	assert.Equal(t, "Fulfilment", d.Name())
	m, err := process.NewManager(store, d, process.Config{})
	require.NoError(t, err)
	p := m.Projection()
	assert.Equal(t, "Fulfilment", p.Name())
	assert.Equal(t, 3, p.Version())
	assert.Equal(t, 4, p.Lanes())
	assert.Equal(t, projection.StartAtFirst, p.From())
	assert.Equal(t, []string{"OrderPlaced", "ProcessFailed", "ProcessTimeoutElapsed"}, p.EventTypes())
	require.ErrorIs(t, p.CanReset(), projection.ErrLiveOnly)

	e := event.Event{ID: event.NewID(), Type: "OrderPlaced", SchemaVersion: 1, AggregateType: "Order", AggregateID: id, Data: []byte("{}")}
	require.NoError(t, p.Apply(t.Context(), nil, e))
	for _, own := range history(t, store, id) {
		assert.Equal(t, event.Service("fulfilment"), own.ActorID)
		assert.Equal(t, "xxxxx", own.Metadata[event.KeyOwner])
	}
	by := process.Define("Fulfilment", 1, process.StartOn(process.ByAggregate, do(func(*process.Instance[Fulfilment]) {})))
	m, err = process.NewManager(store, by, process.Config{})
	require.NoError(t, err)
	assert.Equal(t, projection.StartAtHead, m.Projection().From())
	assert.Equal(t, 1, m.Projection().Lanes())
}

func TestManagerRefuses(t *testing.T) {
	t.Parallel()
	store := openMemory(t)
	d := newShop(store, time.Hour).fulfilment()
	for want, config := range map[string]process.Config{
		"lease_ttl":    {LeaseTTL: -1},
		"owner":        {Owner: strings.Repeat("o", 1000)},
		"max_attempts": {Instances: aggregate.Config{MaxAttempts: -1}},
	} {
		_, err := process.NewManager(store, d, config)
		require.ErrorContains(t, err, want)
	}
	_, err := process.NewManager(nil, d, process.Config{})
	require.ErrorIs(t, err, event.ErrInvalid)
	_, err = process.NewManager(eventstore.RequireTenant(store), d, process.Config{})
	require.ErrorContains(t, err, "invalid progress: must be set")
	_, err = process.NewManager(eventstore.RequireTenant(store), d, process.Config{Progress: store})
	require.NoError(t, err)
}
