package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

var (
	_ projection.Store      = (*Store)(nil)
	_ projection.Classifier = (*Store)(nil)
)

// Store is an event store in a PostgreSQL database, with checkpoints, dead
// letters, leases and snapshots beside the events. Its methods are safe for
// concurrent use, and any number of processes may open one schema.
type Store struct {
	config  Config
	schema  schema
	inline  inline                 // that the program has
	running atomic.Pointer[inline] // of those, what appends apply
	id      uuid.UUID
	pool    *pgxpool.Pool
	release func() // closes the pool if it is the store's own
	route   route
	late    *Error // what an append is told that has no answer within WriteTimeout
	walled  bool   // whether row-level security stops the role

	queue   *queue
	calls   sync.Pool // of *call
	watcher *watcher
	// patience holds something for each append that waits in the database for a
	// stream that another transaction holds.
	patience chan struct{}
	stable   atomic.Uint64 // the highest head that was seen

	life       context.Context //nolint:containedctx // it is the store's own: it ends with Close
	end        context.CancelCauseFunc
	goroutines sync.WaitGroup
	closeOnce  sync.Once

	mu   sync.Mutex
	open map[*Tx]struct{} // the transactions in progress, for Close
}

// Open opens a store that [Migrate] has made. It never changes the schema.
//
// Errors: [event.ErrInvalid] for a bad configuration; a
// [*eventstore.SchemaError] for a schema that is missing, or was made by an
// older or a newer program; an [*UnsafeError] for a database that could lose
// events; and an [*Error], which is [ErrPermission] for a wrong password or a
// role without the rights ([Grant] gives them), [eventstore.ErrReadOnly] for a
// standby without [Config.Replica], and
// [eventstore.ErrUnavailable] for a server that does not answer.
//
// A store that is no longer used must be closed.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	s := newStore(config)
	if err := s.connect(ctx); err != nil {
		return nil, translate("open", s.config.Schema, err)
	}
	s.start(context.WithoutCancel(ctx))
	return s, nil
}

// newStore returns a store that is not connected.
func newStore(config Config) *Store {
	config = config.withDefaults()
	s := &Store{
		config:   config,
		schema:   schema(config.Schema),
		inline:   newInline(config.Inline),
		late:     &Error{Op: "append", Schema: config.Schema, Err: fmt.Errorf("no answer within %s, which Config.WriteTimeout bounds", config.WriteTimeout)},
		queue:    newQueue(),
		open:     make(map[*Tx]struct{}),
		patience: make(chan struct{}, mostHeld),
	}
	s.running.Store(&s.inline)
	return s
}

// connect makes the pool and checks what it leads to.
func (s *Store) connect(ctx context.Context) (err error) {
	if s.pool, s.release, err = s.config.connect(ctx); err != nil {
		return err
	}
	s.route = routeOf(s.pool.Config().ConnConfig)
	if s.id, err = s.check(ctx); err != nil {
		s.release()
	}
	return err
}

// start starts the goroutines that Close stops.
func (s *Store) start(ctx context.Context) {
	s.life, s.end = context.WithCancelCause(ctx)
	s.watcher = newWatcher(s)
	s.goroutines.Go(func() { s.watcher.run(s.life) })
	for range flushers {
		s.goroutines.Go(func() { s.flushAll(ctx) })
	}
	for _, duty := range s.duties() {
		s.goroutines.Go(func() { duty(s.life) })
	}
}

// ID implements [eventstore.Store]. The id was made by [Migrate]. It survives
// a dump and its restoration; see [Renew].
func (s *Store) ID() uuid.UUID { return s.id }

// Limits implements [eventstore.Store].
func (s *Store) Limits() eventstore.Limits { return s.config.Limits }

// Pool returns the pool of connections, for queries on read models and for
// transactions of the caller's own. It is closed with the store, if the store
// has made it.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Close implements [eventstore.Store]. Appends that wait for their turn and
// calls that wait for events end with [eventstore.ErrClosed]; appends that are
// on their way finish; transactions in progress are rolled back. It waits for
// some seconds, no longer, for connections of the pool that callers hold.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.end(eventstore.ErrClosed)
		s.queue.close()
		s.mu.Lock()
		open := make([]*Tx, 0, len(s.open))
		for t := range s.open {
			open = append(open, t)
		}
		s.mu.Unlock()
		for _, t := range open {
			t.abort()
		}
		s.goroutines.Wait()
		s.disconnect()
	})
	return nil
}

// goodbye is how long Close waits for connections that callers hold, for
// example in a transaction that they have begun on the pool.
const goodbye = 5 * time.Second

// disconnect closes the pool. Connections that are not given back in time are
// closed when they are.
func (s *Store) disconnect() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.release()
	}()
	select {
	case <-closed:
	case <-time.After(goodbye):
	}
}

// usable returns why a call cannot go on: the store is closed, or ctx ended.
func (s *Store) usable(ctx context.Context) error {
	if s.life.Err() != nil {
		return eventstore.ErrClosed
	}
	return ctx.Err()
}

// scope returns a context that also ends with the store, and what frees it.
func (s *Store) scope(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(eventstore.ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// failure returns what a call is told that failed with err.
func (s *Store) failure(op string, err error) error {
	if err != nil && s.life.Err() != nil {
		return eventstore.ErrClosed // whatever it was, the pool or the call was ended in between
	}
	return translate(op, s.config.Schema, err)
}
