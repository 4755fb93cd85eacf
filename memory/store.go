package memory

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ eventstore.Store = (*Store)(nil)

// Config says how a store behaves. The zero value is ready to use.
type Config struct {
	// Now is the store's clock. Default [time.Now]. It must be safe for
	// concurrent use.
	Now func() time.Time
	// Limits bounds what an append may hold. Default [eventstore.DefaultLimits].
	Limits eventstore.Limits
}

// maxPayload keeps what belongs to one event within an arena's numbers.
const maxPayload = 1 << 30

// Validate refuses limits that are negative or beyond 1 GiB; the error, an
// [*event.InvalidError], names the field.
func (c Config) Validate() error {
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	if c.Limits.PayloadBytes > maxPayload {
		return &event.InvalidError{Field: "limits.payload_bytes", Reason: "must be at most 1 GiB"}
	}
	return nil
}

// Store is an event store in memory, with checkpoints, dead letters, leases
// and snapshots beside it. Its methods are safe for concurrent use.
type Store struct {
	id     uuid.UUID
	now    func() time.Time
	limits eventstore.Limits
	ports  *ports

	head   atomic.Uint64 // everything up to here is complete and readable without the lock
	closed atomic.Bool
	done   chan struct{} // closed with the store

	mu      sync.Mutex // for all below, as far as it is not read through head
	log     list[record]
	content arena[byte]
	names   names
	streams list[stream]
	places  arena[uint64] // positions of streams' versions
	clock   int64         // the last recorded-at, which never goes back
	awaited chan struct{} // closed by the next append; nil if nobody waits

	hash       hasher
	byID       index         // places in the log by event id
	byIdentity index         // numbers of streams
	targets    []target      // of the append in hand
	versions   arena[uint64] // for results
}

// Open returns a new, empty store. It starts no goroutines.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open memory store: %w", err)
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("open memory store: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("open memory store: %w", err)
	}
	now := config.Now
	if now == nil {
		now = time.Now
	}
	s := &Store{
		id:       id,
		now:      now,
		limits:   config.Limits.OrDefault(),
		ports:    newPorts(now),
		done:     make(chan struct{}),
		content:  arena[byte]{size: 64 << 10},
		places:   arena[uint64]{size: 4 << 10},
		versions: arena[uint64]{size: 512},
		names:    names{numbers: make(map[string]uint32)},
		hash:     newHasher(),
	}
	s.byID.hash = func(number uint64) uint64 { return s.hash.id(&s.log.at(number).id) }
	s.byIdentity.hash = func(number uint64) uint64 {
		st := s.streams.at(number)
		return s.hash.stream(&st.id, st.tenant, st.kind)
	}
	return s, nil
}

// ID implements [eventstore.Store]. Each store that is opened has its own.
func (s *Store) ID() uuid.UUID { return s.id }

// Limits implements [eventstore.Store].
func (s *Store) Limits() eventstore.Limits { return s.limits }

// Head implements [eventstore.Store].
func (s *Store) Head(ctx context.Context) (uint64, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	return s.head.Load(), nil
}

// Close implements [eventstore.Store]. Reads and waits in progress end with
// [eventstore.ErrClosed]. What is stored is freed with the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed.Swap(true) {
		close(s.done)
		s.ports.close()
	}
	return nil
}

// usable returns why a call cannot go on: the store is closed, or ctx ended.
func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return eventstore.ErrClosed
	}
	return ctx.Err() // the caller's own error, as it is.
}
