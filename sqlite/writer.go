package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evident-go/evident/eventstore"
)

// writer is the store's one connection that writes. SQLite lets one
// transaction write at a time, so appends and the transactions of projections
// take turns here instead of finding the file locked.
//
// Nothing commits on the connection but through the writer: a hook turns any
// other commit into a rollback. So if SQLite undoes a transaction by itself,
// as it does when a disk is full or a statement is interrupted, what a handler
// writes afterwards cannot come to stay, nor can a handler commit by itself.
type writer struct {
	conn    *connection // for appends, at the driver's level
	session *sql.Conn   // the same connection, for transactions
	db      *sql.DB     // has only this connection
	path    string
	timeout time.Duration // to wait for other processes

	turn       chan struct{} // holds something while the connection is in use
	closing    <-chan struct{}
	committing atomic.Bool // what the hook lets through
}

// openWriter opens the connection. Turns end when closing is closed.
func openWriter(ctx context.Context, config Config, closing <-chan struct{}) (*writer, error) {
	source, err := config.source(modeWrite)
	if err != nil {
		return nil, err
	}
	conn, err := connect(source)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn, path: config.Path, timeout: config.BusyTimeout, turn: make(chan struct{}, 1), closing: closing}
	w.db = sql.OpenDB(handover{conn: conn.Conn})
	w.db.SetMaxOpenConns(1)
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// prepare installs the hook and hands the connection to database/sql for good.
func (w *writer) prepare(ctx context.Context) error {
	hooked, ok := w.conn.Conn.(modernc.HookRegisterer)
	if !ok {
		return fmt.Errorf("driver's connection is a %T, which has no commit hook", w.conn.Conn)
	}
	hooked.RegisterCommitHook(func() int32 {
		if w.committing.Load() {
			return 0
		}
		return 1
	})
	if err := waitOurselves(ctx, w.conn); err != nil {
		return err
	}
	session, err := w.db.Conn(ctx)
	w.session = session
	return err
}

// acquire waits for the turn, which release gives up.
func (w *writer) acquire(ctx context.Context) error {
	select {
	case <-w.closing:
		return eventstore.ErrClosed
	default:
	}
	select {
	case w.turn <- struct{}{}:
		return nil
	case <-w.closing:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryAcquire takes the turn if nobody has it.
func (w *writer) tryAcquire() bool {
	select {
	case w.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (w *writer) release() { <-w.turn }

// begin starts a transaction. Like all that follow it needs the turn. The end
// of ctx ends the waiting for other processes.
func (w *writer) begin(ctx context.Context) error {
	lasting := context.WithoutCancel(ctx) // for which the driver needs no goroutine
	return patiently(ctx, w.timeout, func() error { return w.conn.exec(lasting, "BEGIN IMMEDIATE") })
}

// commit ends the transaction. If that fails the transaction is gone, too.
func (w *writer) commit(ctx context.Context) error {
	w.committing.Store(true)
	defer w.committing.Store(false)
	err := w.conn.exec(ctx, "COMMIT")
	if err != nil {
		return errors.Join(err, w.rollback(ctx))
	}
	return nil
}

// rollback ends the transaction, whether or not SQLite has done so already.
func (w *writer) rollback(ctx context.Context) error {
	return unlessEnded(w.conn.exec(ctx, "ROLLBACK"))
}

// unlessEnded returns the error of a ROLLBACK, nil if it is that no
// transaction was active: the only plain SQLITE_ERROR that it gives.
func unlessEnded(err error) error {
	if codeOf(err) == sqlite3.SQLITE_ERROR {
		return nil
	}
	return err
}

// beginTx is begin at the level of database/sql.
func (w *writer) beginTx(ctx context.Context) (tx *sql.Tx, err error) {
	// An sql.Tx would roll itself back when ctx ends. Here its owner does, so
	// that the turn and the transaction end together.
	lasting := context.WithoutCancel(ctx)
	err = patiently(ctx, w.timeout, func() error {
		tx, err = w.session.BeginTx(lasting, nil)
		return err
	})
	return tx, err
}

// commitTx is commit at the level of database/sql.
func (w *writer) commitTx(tx *sql.Tx) error {
	w.committing.Store(true)
	defer w.committing.Store(false)
	return tx.Commit()
}

// probe finds out whether the file can be written to. A BEGIN would not tell:
// on a file that is read-only SQLite makes it a transaction for reading.
func (w *writer) probe() error {
	asked, ok := w.conn.Conn.(interface {
		IsReadOnly(schema string) (bool, error)
	})
	if !ok {
		return fmt.Errorf("driver's connection is a %T, which cannot tell whether it is read-only", w.conn.Conn)
	}
	readOnly, err := asked.IsReadOnly("main")
	if err == nil && readOnly {
		err = &Error{Op: "open", Path: w.path, Code: sqlite3.SQLITE_READONLY, Err: errors.New("file or folder cannot be written to")}
	}
	return err
}

// close closes the connection. The last one that any process closes moves the
// write-ahead log into the file.
func (w *writer) close() error {
	errs := []error{w.conn.closeStatements()}
	if w.session != nil {
		errs = append(errs, w.session.Close())
	} else {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// handover is a connector whose one connection exists already.
type handover struct{ conn driver.Conn }

// Connect implements [driver.Connector].
func (h handover) Connect(context.Context) (driver.Conn, error) { return h.conn, nil }

// Driver implements [driver.Connector].
func (h handover) Driver() driver.Driver { return &modernc.Driver{} }
