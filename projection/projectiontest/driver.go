package projectiontest

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// Driver appends events to a store and runs projections over them until they
// have caught up. It is for one test.
type Driver struct {
	t      testing.TB
	store  projection.Store
	runner *projection.Runner
}

// New returns a driver of projections over store. A projection that does not
// fit fails the test.
func New(t testing.TB, store projection.Store, projections ...projection.Projection) *Driver {
	t.Helper()
	runner, err := projection.NewRunner(store, projection.Config{Projections: projections})
	require.NoError(t, err)
	return &Driver{t: t, store: store, runner: runner}
}

// Append stores payloads as the next events of an aggregate and returns the
// position of the last. Actor, tenant, correlation and metadata come from ctx.
func (d *Driver) Append(ctx context.Context, aggregateType string, id uuid.UUID, payloads ...event.Payload) uint64 {
	d.t.Helper()
	events := make([]event.Event, len(payloads))
	for i, payload := range payloads {
		e, err := event.New(ctx, payload)
		require.NoError(d.t, err)
		events[i] = e
	}
	stream := eventstore.Stream{TenantID: event.TenantFrom(ctx), AggregateType: aggregateType, AggregateID: id}
	result, err := d.store.Append(ctx, eventstore.Append{Stream: stream, Events: events})
	require.NoError(d.t, err)
	return result.Position
}

// CatchUp runs the projections until they have applied everything that is
// stored. A letter that was parked fails the test and is shown; see
// [Driver.CatchUpParking] for tests about poison.
func (d *Driver) CatchUp(ctx context.Context) {
	d.t.Helper()
	for _, s := range d.CatchUpParking(ctx) {
		if s.DeadLetters.Letters == 0 {
			continue
		}
		parked, err := d.runner.DeadLetters().Sequences(ctx, dlqFilter(s))
		require.NoError(d.t, err)
		for _, p := range parked {
			d.t.Errorf("projection %s parked %s at position %d: %s", s.Projection, p.Sequence.Key, p.First.Position, p.First.Cause)
		}
	}
}

// CatchUpParking runs the projections until they have applied or parked
// everything that is stored, and returns their status.
func (d *Driver) CatchUpParking(ctx context.Context) []projection.Status {
	d.t.Helper()
	require.NoError(d.t, d.runner.RunUntilCaughtUp(ctx))
	status, err := d.runner.Status(ctx)
	require.NoError(d.t, err)
	return status
}

// Replay resets a projection and applies everything that is stored again.
func (d *Driver) Replay(ctx context.Context, name string) {
	d.t.Helper()
	require.NoError(d.t, d.runner.Rebuild(ctx, name))
}

// Runner returns the runner, for its other commands.
func (d *Driver) Runner() *projection.Runner { return d.runner }
