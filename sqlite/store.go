package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/google/uuid"

	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

var (
	_ projection.Store      = (*Store)(nil)
	_ projection.Classifier = (*Store)(nil)
)

// Store is an event store in a SQLite file, with checkpoints, dead letters,
// leases and snapshots beside the events. Its methods are safe for concurrent
// use, and several processes may open one file.
type Store struct {
	config  Config
	id      uuid.UUID
	queue   *queue
	flusher *flusher
	writer  *writer
	readers *readers
	watcher *connection
	db      *sql.DB
	wakeups *wakeups
	window  int64 // see window

	closing    chan struct{}
	goroutines sync.WaitGroup
	closeOnce  sync.Once
	closeErr   error

	mu   sync.Mutex
	open *Tx // the transaction in progress, for Close
}

// Open opens a store that [Migrate] has made. It never changes the schema.
//
// Errors: [event.ErrInvalid] for a bad configuration or a file that is another
// program's database; a [*eventstore.SchemaError] for a file that is missing,
// or was made by an older or a newer program; and an [*Error], which is
// [eventstore.ErrCorrupt] for a file that is no database or is damaged,
// [eventstore.ErrReadOnly] for one that cannot be written to.
//
// A store that is no longer used must be closed.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	s := &Store{
		config:  config.withDefaults(),
		queue:   newQueue(),
		wakeups: newWakeups(),
		window:  window,
		closing: make(chan struct{}),
	}
	if err := s.connect(ctx); err != nil {
		close(s.closing)
		return nil, s.failure(errors.Join(err, s.disconnect()))
	}
	s.start(context.WithoutCancel(ctx))
	return s, nil
}

// failure gives an error of Open the file's name, unless it has it already.
func (s *Store) failure(err error) error {
	if _, named := errors.AsType[*Error](err); named || errors.Is(err, eventstore.ErrSchema) || errors.Is(err, eventstore.ErrInvalid) {
		return err
	}
	return &Error{Op: "open", Path: s.config.Path, Code: codeOf(err), Err: err}
}

// connect opens all connections and checks what they lead to.
func (s *Store) connect(ctx context.Context) error {
	newest, err := s.newest()
	if err != nil {
		return err
	}
	source, err := s.config.source(modeRead)
	if err != nil {
		return err
	}
	if s.writer, err = openWriter(ctx, s.config, s.closing); err != nil {
		return err
	}
	if err := s.check(ctx, newest); err != nil {
		return err
	}
	s.readers = newReaders(source, s.config.Readers, s.closing)
	s.db = sql.OpenDB(connector{source: source})
	s.watcher, err = connect(source)
	return err
}

// newest returns the schema version that the program needs, and refuses a file
// that is not there: SQLite's own error would not say what is missing.
func (s *Store) newest() (int, error) {
	steps, err := migrations()
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(s.config.Path); errors.Is(err, fs.ErrNotExist) {
		return 0, &eventstore.SchemaError{Store: s.config.Path, Want: len(steps)}
	} else if err != nil {
		return 0, &Error{Op: "open", Path: s.config.Path, Err: err}
	}
	return len(steps), nil
}

// check finds out whether the file is a store of this version that can be used.
func (s *Store) check(ctx context.Context, newest int) error {
	c := s.writer.conn
	have, err := inspect(ctx, c, s.config, newest)
	if err != nil {
		return err
	}
	if have != newest {
		return &eventstore.SchemaError{Store: s.config.Path, Have: have, Want: newest}
	}
	if err := s.writer.probe(); err != nil {
		return err
	}
	if s.id, err = storeID(ctx, c); err != nil {
		return err
	}
	return useWAL(ctx, c)
}

// storeID returns the id that Migrate has given to the file.
func storeID(ctx context.Context, c *connection) (uuid.UUID, error) {
	d := decoder{row: make([]driver.Value, 1)}
	found, err := c.first(ctx, d.row, "SELECT store_id FROM meta")
	if err != nil {
		return uuid.Nil, err
	}
	if !found {
		return uuid.Nil, fmt.Errorf("%w: it has lost its store id", eventstore.ErrCorrupt)
	}
	return d.id(0), d.err
}

// useWAL makes sure of the journal mode that everything here relies on. The
// file keeps it, so there is nothing to do unless somebody has changed it.
func useWAL(ctx context.Context, c *connection) error {
	mode := make([]driver.Value, 1)
	if _, err := c.first(ctx, mode, "PRAGMA journal_mode = WAL"); err != nil {
		return err
	}
	if mode[0] != "wal" {
		return fmt.Errorf("its disk does not allow a write-ahead log: journal mode is %v", mode[0])
	}
	return nil
}

// start starts the goroutines that Close stops.
func (s *Store) start(ctx context.Context) {
	s.flusher = &flusher{queue: s.queue, writer: s.writer, path: s.config.Path, now: s.config.Now, stored: s.wakeups.wake}
	s.goroutines.Go(func() { s.flusher.run(ctx) })
	p := &poller{conn: s.watcher, wakeups: s.wakeups, interval: s.config.PollInterval, closing: s.closing}
	s.goroutines.Go(func() { p.run(ctx) })
}

// ID implements [eventstore.Store]. The id was made by [Migrate], with the file.
func (s *Store) ID() uuid.UUID { return s.id }

// Limits implements [eventstore.Store].
func (s *Store) Limits() eventstore.Limits { return s.config.Limits }

// DB returns a pool of connections for queries on read models. They cannot
// write: that is for the handlers of a [Projection]. The pool is closed with
// the store.
func (s *Store) DB() *sql.DB { return s.db }

// Close implements [eventstore.Store]. Appends that wait to be written and
// calls that wait for events end with [eventstore.ErrClosed]; a transaction in
// progress is rolled back. The last process to close a file moves SQLite's
// write-ahead log into it.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.mu.Lock()
		open := s.open
		s.mu.Unlock()
		if open != nil {
			open.abort()
		}
		s.goroutines.Wait()
		s.closeErr = translate("close", s.config.Path, s.disconnect())
	})
	return s.closeErr
}

// disconnect closes what connect has opened. The writer is last: with it
// SQLite tidies up.
func (s *Store) disconnect() error {
	var errs []error
	if s.watcher != nil {
		errs = append(errs, s.watcher.close())
	}
	if s.readers != nil {
		errs = append(errs, s.readers.close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.writer != nil {
		s.writer.turn <- struct{}{} // whoever has the turn finishes
		errs = append(errs, s.writer.close())
	}
	return errors.Join(errs...)
}

// usable returns why a call cannot go on: the store is closed, or ctx ended.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closing:
		return eventstore.ErrClosed
	default:
		return ctx.Err()
	}
}
