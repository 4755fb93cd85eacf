package process

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// Manager runs the instances of a process. Its projection feeds them with
// events, see [Manager.Projection]; its timeouts are looked after by
// [Manager.Run]. A program needs both, in the same process or in several.
//
// It makes these promises:
//
//  1. Once. An instance handles each event once, in the order of the store, and
//     what its handlers append through package aggregate is appended once:
//     through crashes, by several processes at once, and when a letter is tried
//     again. Handlers may run several times.
//  2. Together. What a handler records of the instance is stored whole or not at
//     all, after all that it has done.
//  3. Its own instance only. An event that cannot be handled parks its
//     instance; all others go on.
//  4. Timeouts come late rather than never, and never before they are due by
//     the clock, at most once, and not after they have been cancelled: whatever
//     crashes, whichever way the clock goes, and however many managers run.
//  5. Compensation. What an instance has done before it failed is undone in the
//     reverse order, each event once, and tried again until it succeeds.
//  6. All there is to know of an instance is in its stream.
//
// All methods are safe for concurrent use.
type Manager[S any] struct {
	definition *Definition[S]
	events     eventstore.Store
	instances  *aggregate.Repository[root[S]]
	config     Config
	keeper     *keeper
}

// NewManager returns a manager of the process that definition describes. It
// starts nothing. Errors are those of [Config.Validate] and
// [Definition.Validate].
func NewManager[S any](store eventstore.Store, definition *Definition[S], config Config) (*Manager[S], error) {
	if store == nil {
		return nil, &event.InvalidError{Field: "store", Reason: "must not be nil"}
	}
	if err := definition.Validate(); err != nil {
		return nil, err
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config, err := config.withDefaults(store)
	if err != nil {
		return nil, err
	}
	instances, err := aggregate.NewRepositoryWith[root[S]](store, definition.state, config.Instances)
	if err != nil {
		return nil, err
	}
	m := &Manager[S]{definition: definition, events: store, instances: instances, config: config}
	m.keeper, err = newKeeper(definition.name, definition.state.Codec(), store, config, m.elapse)
	return m, err
}

// Projection returns what feeds the instances: a [projection.Reactor], for
// [projection.Config]. Events are ordered by instance.
func (m *Manager[S]) Projection() *projection.Reactor {
	return m.definition.reactor(m.react, m.sequence)
}

// Run looks after the timeouts of all instances until ctx ends, and then
// returns nil. While another process does, it waits to take over. It tries
// again after errors, and returns only those for which that cannot help, such as
// [eventstore.ErrClosed], or [projection.ErrRunning] if this manager runs already.
func (m *Manager[S]) Run(ctx context.Context) error { return m.keeper.run(ctx) }

// Status says how timeouts are looked after by this manager.
func (m *Manager[S]) Status() Status { return m.keeper.status() }

// Close is [aggregate.Repository.Close], for a manager with snapshots.
func (m *Manager[S]) Close(ctx context.Context) error { return m.instances.Close(ctx) }

// View is an instance at one moment.
type View[S any] struct {
	ID       uuid.UUID
	State    S
	Phase    Phase
	Failure  string               // why it failed; "" if it did not
	Timeouts map[string]time.Time // that it waits for, by name
	Version  uint64               // how many events it has
}

// Show returns an instance of the tenant that ctx carries. Errors are those of
// [aggregate.Repository.Load]; one that has not begun is [aggregate.ErrNotFound].
func (m *Manager[S]) Show(ctx context.Context, id uuid.UUID) (View[S], error) {
	a, err := m.instances.Load(ctx, id)
	if err != nil {
		return View[S]{}, fmt.Errorf("show process %s: %w", m.definition.name, err)
	}
	r := a.State()
	v := View[S]{ID: id, State: r.State, Phase: r.Phase, Failure: r.Failure, Version: a.Version(), Timeouts: make(map[string]time.Time, len(r.Timeouts))}
	for name, t := range r.Timeouts {
		v.Timeouts[name] = t.Due
	}
	return v, nil
}

// stream returns that of an instance.
func (m *Manager[S]) stream(tenant event.TenantID, id uuid.UUID) eventstore.Stream {
	return eventstore.Stream{TenantID: tenant, AggregateType: m.definition.name, AggregateID: id}
}
