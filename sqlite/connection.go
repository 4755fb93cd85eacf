package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	modernc "modernc.org/sqlite"

	"github.com/evident-go/evident/eventstore"
)

// connection is a connection to the file at the driver's level, with its
// prepared statements. Events go through it, rather than through database/sql,
// because a row costs a third there. It serves one goroutine at a time.
type connection struct {
	driver.Conn

	prepared map[string]*statement
}

// mostPrepared bounds the statements that a connection keeps: queries by
// lists of types have one for each length of list.
const mostPrepared = 64

// connect opens the file.
func connect(source string) (*connection, error) {
	raw, err := (&modernc.Driver{}).Open(source)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: raw, prepared: make(map[string]*statement)}, nil
}

// close closes the statements and the connection.
func (c *connection) close() error {
	return errors.Join(c.closeStatements(), c.Close())
}

func (c *connection) closeStatements() error {
	var errs []error
	for query, s := range c.prepared {
		errs = append(errs, s.stmt.Close())
		delete(c.prepared, query)
	}
	return errors.Join(errs...)
}

// statement returns the prepared statement for query.
func (c *connection) statement(ctx context.Context, query string) (*statement, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	if len(c.prepared) >= mostPrepared {
		if err := c.closeStatements(); err != nil {
			return nil, err
		}
	}
	preparer, ok := c.Conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("driver's connection is a %T, which prepares nothing", c.Conn)
	}
	stmt, err := preparer.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{stmt: stmt}
	var executes, queries bool
	s.executor, executes = stmt.(driver.StmtExecContext)
	s.queryer, queries = stmt.(driver.StmtQueryContext)
	if !executes || !queries {
		return nil, errors.Join(fmt.Errorf("driver's statement is a %T, which takes no context", stmt), stmt.Close())
	}
	c.prepared[query] = s
	return s, nil
}

// exec runs a statement that returns no rows.
func (c *connection) exec(ctx context.Context, query string, args ...driver.Value) error {
	s, err := c.statement(ctx, query)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, s.bind(args))
	return err
}

// execScript runs several statements, which are not kept.
func (c *connection) execScript(ctx context.Context, script string) error {
	executor, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return fmt.Errorf("driver's connection is a %T, which executes nothing", c.Conn)
	}
	_, err := executor.ExecContext(ctx, script, nil)
	return err
}

// first reads the first row that query returns into dest and reports whether
// there is one.
func (c *connection) first(ctx context.Context, dest []driver.Value, query string, args ...driver.Value) (found bool, err error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return false, err
	}
	rows, err := s.query(ctx, s.bind(args))
	if err != nil {
		return false, err
	}
	err = rows.Next(dest)
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

// number returns the one integer that query returns, 0 for NULL.
func (c *connection) number(ctx context.Context, query string) (int64, error) {
	var row [1]driver.Value
	if _, err := c.first(ctx, row[:], query); err != nil {
		return 0, err
	}
	if row[0] == nil {
		return 0, nil
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("%w: %q returns a %T", eventstore.ErrCorrupt, query, row[0])
	}
	return n, nil
}

// statement is a prepared statement.
type statement struct {
	stmt     driver.Stmt
	executor driver.StmtExecContext
	queryer  driver.StmtQueryContext
	args     []driver.NamedValue // used again for each call
}

// bind numbers the arguments. They are valid until the next call.
func (s *statement) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, value := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return s.args
}

func (s *statement) exec(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.executor.ExecContext(ctx, args)
}

func (s *statement) query(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.queryer.QueryContext(ctx, args)
}
