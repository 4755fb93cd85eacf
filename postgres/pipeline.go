package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// premise is a statement that goes in front of a query, on the same connection,
// in the same transaction and in the same round trip. It must answer true.
type premise struct {
	sql  string
	args []string
	err  error // what it means that it answers false
}

// values returns the arguments for pgx.
func (p premise) values() []any {
	all := make([]any, len(p.args))
	for i, arg := range p.args {
		all[i] = arg
	}
	return all
}

// textArguments returns the arguments in the text format.
func (p premise) textArguments() [][]byte {
	all := make([][]byte, len(p.args))
	for i, arg := range p.args {
		all[i] = []byte(arg)
	}
	return all
}

// answered reports whether an answer in the binary format is true.
func (p premise) answered(result *pgconn.Result) bool {
	return len(result.Rows) == 1 && len(result.Rows[0]) == 1 && len(result.Rows[0][0]) == 1 && result.Rows[0][0][0] == 1
}

// holdIn makes a transaction the premise's.
func (p premise) holdIn(ctx context.Context, tx pgx.Tx) error {
	holds, err := first[bool](ctx, tx, p.sql, p.values()...)
	if err == nil && !holds {
		err = p.err
	}
	return err
}

// pipeline is a pool whose queries have premises.
type pipeline struct {
	pool     *pgxpool.Pool
	premises []premise
}

// behind returns where to send queries that go behind premises.
func (s *Store) behind(premises []premise) querier {
	if len(premises) == 0 {
		return s.pool
	}
	return pipeline{pool: s.pool, premises: premises}
}

// Query implements querier. Rows must be closed before they are asked for their
// error: the commit comes after them.
func (p pipeline) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	batch := &pgx.Batch{}
	for _, first := range p.premises {
		batch.Queue(first.sql, first.values()...)
	}
	batch.Queue(sql, args...)
	results := p.pool.SendBatch(ctx, batch)
	for _, first := range p.premises {
		if err := first.hold(results); err != nil {
			_ = results.Close() // fails for the same reason
			return nil, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close() // fails for the same reason
		return nil, err
	}
	return &pipelineRows{Rows: rows, results: results}, nil
}

// hold reads the premise's answer.
func (p premise) hold(results pgx.BatchResults) error {
	var holds bool
	if err := results.QueryRow().Scan(&holds); err != nil {
		return err
	}
	if !holds {
		return p.err
	}
	return nil
}

// pipelineRows end with the transaction that they come from.
type pipelineRows struct {
	pgx.Rows

	results pgx.BatchResults
	closed  bool
	err     error // of the commit
}

// Next implements [pgx.Rows].
func (r *pipelineRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close implements [pgx.Rows].
func (r *pipelineRows) Close() {
	if !r.closed {
		r.closed = true
		r.Rows.Close()
		r.err = r.results.Close()
	}
}

// Err implements [pgx.Rows].
func (r *pipelineRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}
