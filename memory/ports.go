package memory

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// Checkpoints returns the store's checkpoints. A write waits for the
// transaction in progress, if there is one, until ctx ends.
func (s *Store) Checkpoints() checkpoint.Store { return checkpoints{session: s.ports} }

// DeadLetters returns the store's dead letters. A write waits for the
// transaction in progress, if there is one, until ctx ends.
func (s *Store) DeadLetters() dlq.Store { return deadLetters{session: s.ports} }

// Registry returns what is decided about projections. A write waits for the
// transaction in progress, if there is one, until ctx ends.
func (s *Store) Registry() registry.Store { return decisions{session: s.ports} }

// Leases returns the store's leases. They last as long as the store does, and
// their time is the store's clock.
func (s *Store) Leases() lease.Store { return s.ports.leases }

// Snapshots returns the store's snapshots.
func (s *Store) Snapshots() aggregate.SnapshotStore { return s.ports.snapshots }

// Begin starts a transaction over checkpoints and dead letters. There is one
// at a time: Begin waits for the one before to end. It returns ctx's error
// when ctx ends first, and [eventstore.ErrClosed] when the store is closed.
// Reads outside of the transaction do not wait for it.
func (s *Store) Begin(ctx context.Context) (projection.Tx, error) {
	t, err := s.ports.begin(ctx)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ports holds everything of a store but its events.
type ports struct {
	now       func() time.Time
	writer    chan struct{} // has room for the one transaction that may write
	closed    chan struct{}
	closeOnce sync.Once

	mu        sync.RWMutex // guards committed; its writer also holds the place in writer
	committed rows

	leases    *leases
	snapshots *snapshots
	people    *people
}

func newPorts(now func() time.Time) *ports {
	p := &ports{
		now:       now,
		writer:    make(chan struct{}, 1),
		closed:    make(chan struct{}),
		committed: newRows(),
	}
	p.leases = &leases{ports: p, byName: make(map[string]lease.Lease)}
	p.snapshots = &snapshots{ports: p, byStream: make(map[eventstore.Stream]aggregate.Snapshot)}
	p.people = &people{ports: p, byToken: make(map[uuid.UUID]privacy.Pseudonym), byPerson: make(map[person]uuid.UUID)}
	return p
}

// close ends waiting calls and refuses later ones. It may be called again.
func (p *ports) close() { p.closeOnce.Do(func() { close(p.closed) }) }

// usable is the first thing that every call asks.
func (p *ports) usable(ctx context.Context) error {
	select {
	case <-p.closed:
		return eventstore.ErrClosed
	default:
		return ctx.Err()
	}
}

// begin takes the writer's place.
func (p *ports) begin(ctx context.Context) (*tx, error) {
	if err := p.usable(ctx); err != nil {
		return nil, err
	}
	select {
	case p.writer <- struct{}{}:
		return &tx{ports: p, view: stage(&p.committed)}, nil
	case <-p.closed:
		return nil, eventstore.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// session is where checkpoints and dead letters are read and written: the
// store itself, or one of its transactions.
type session interface {
	// read calls f with what the session sees.
	read(ctx context.Context, f func(v *view) error) error
	// write calls f, whose changes are kept if it returns no error. A failing f
	// must not have changed anything.
	write(ctx context.Context, f func(v *view) error) error
	// clock returns the time now, as stores keep it.
	clock() time.Time
}

// read implements session: it sees what is committed, and delays no
// transaction until that commits.
func (p *ports) read(ctx context.Context, f func(v *view) error) error {
	if err := p.usable(ctx); err != nil {
		return err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return f(stage(&p.committed))
}

// write implements session as a transaction of its own.
func (p *ports) write(ctx context.Context, f func(v *view) error) error {
	t, err := p.begin(ctx)
	if err != nil {
		return err
	}
	defer t.end()
	if err := f(t.view); err != nil {
		return err
	}
	return t.Commit(ctx)
}

func (p *ports) clock() time.Time { return event.Time(p.now()) }
