package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/evident-go/evident/eventstore"
)

const (
	callAppend = "SELECT versions, verdicts, first_position, recorded FROM evident.append(" +
		"$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
	callAppendOne = "SELECT evident.append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)

// send stores appends in one call, as far as their expectations hold, in a
// transaction of its own. No stream may occur twice. An error is about all of
// them: nothing is stored, or it is not known; see isUnsure. Who is patient
// waits for streams that other transactions hold.
func (s *Store) send(ctx context.Context, batch []*request, patient bool) ([]verdict, error) {
	if len(s.inline.projections) > 0 {
		return s.sendInline(ctx, batch, patient)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, &undoneError{err}
	}
	defer conn.Release()
	if patient && len(batch) == 1 && batch[0].isOne() {
		return s.sendOne(ctx, conn.Conn(), batch[0])
	}
	return s.sendAll(ctx, s.route, conn.Conn(), s.inline.signature, batch, patient, batch[0].premises)
}

// isOne reports whether an append is one event for one stream.
func (r *request) isOne() bool { return len(r.targets) == 1 && r.events == 1 }

// sendAll is send over a connection, in its transaction if it has one, of a
// program with such inline projections.
func (s *Store) sendAll(ctx context.Context, r route, conn *pgx.Conn, program string, batch []*request, patient bool, premises []premise) ([]verdict, error) {
	c, ok := s.calls.Get().(*call)
	if !ok {
		c = &call{}
	}
	defer s.calls.Put(c)
	c.fill(batch)
	row, err := r.call(ctx, conn, premises, s.function("append", callAppend, c.arguments(program, s.clock(), patient)))
	if err != nil {
		return nil, err
	}
	return verdictsOf(row, batch)
}

// sendOne is send for one event, over a connection without a transaction.
func (s *Store) sendOne(ctx context.Context, conn *pgx.Conn, r *request) ([]verdict, error) {
	row, err := s.route.call(ctx, conn, r.premises, s.function("append_one", callAppendOne, argumentsOfOne(s.inline.signature, s.clock(), &r.targets[0])))
	if err != nil {
		return nil, err
	}
	answer, err := integers(row[0])
	if err != nil {
		return nil, err
	}
	switch len(answer) {
	case 1:
		return []verdict{{versions: []uint64{unsigned(answer[0])}}}, nil
	case 3:
		return []verdict{{
			accepted: true, recordedAt: time.UnixMicro(answer[2]).UTC(),
			versions: []uint64{unsigned(answer[0])}, first: unsigned(answer[1]),
		}}, nil
	default:
		return nil, fmt.Errorf("%w: the answer to an append has %d parts", eventstore.ErrCorrupt, len(answer))
	}
}

// function is a call of one, with arguments in the binary format.
type function struct {
	name, statement string
	arguments       [][]byte
}

func (s *Store) function(name, statement string, arguments [][]byte) function {
	return function{name: string(s.schema) + "." + name, statement: s.sql(statement), arguments: arguments}
}

// route is how calls go over the connections of a pool. A connection hands out
// its configuration as a deep copy, too dear for each call.
type route struct {
	prepare bool // whether what is prepared is there at the next call: a pooler may give that another connection
	tracer  pgx.QueryTracer
}

func routeOf(config *pgx.ConnConfig) route {
	return route{prepare: config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement, tracer: config.Tracer}
}

// call calls a function and returns the one row of its answer. If the
// connection is in no transaction, premises and call are one, which has been
// committed by then. A tracer of the pool sees it like any query.
func (r route) call(ctx context.Context, conn *pgx.Conn, premises []premise, f function) (row [][]byte, err error) {
	if r.tracer != nil {
		ctx = r.tracer.TraceQueryStart(ctx, conn, pgx.TraceQueryStartData{SQL: f.statement})
		defer func() { r.tracer.TraceQueryEnd(ctx, conn, pgx.TraceQueryEndData{Err: err}) }()
	}
	var prepared *pgconn.StatementDescription
	if r.prepare {
		if prepared, err = conn.Prepare(ctx, f.name, f.statement); err != nil {
			return nil, err
		}
	}
	result, err := f.callBehind(ctx, conn.PgConn(), prepared, premises)
	if err == nil {
		err = result.Err
	}
	if err != nil {
		if code, _ := codeOf(err); code == codeStatementUnknown {
			_ = conn.Deallocate(ctx, f.name) // so that the next call prepares it anew
		}
		return nil, err
	}
	if len(result.Rows) != 1 {
		return nil, fmt.Errorf("%w: the answer to an append has %d rows", eventstore.ErrCorrupt, len(result.Rows))
	}
	return result.Rows[0], nil
}

// send calls the function by itself. What is prepared is not described again.
func (f function) send(ctx context.Context, conn *pgconn.PgConn, prepared *pgconn.StatementDescription) *pgconn.ResultReader {
	formats := []int16{pgtype.BinaryFormatCode}
	if prepared != nil {
		return conn.ExecStatement(ctx, prepared, f.arguments, formats, formats)
	}
	return conn.ExecParams(ctx, f.statement, f.arguments, nil, formats, formats)
}

// callBehind calls the function behind premises, if there are any, in one round
// trip.
func (f function) callBehind(ctx context.Context, conn *pgconn.PgConn, prepared *pgconn.StatementDescription, premises []premise) (result *pgconn.Result, err error) {
	if len(premises) == 0 {
		return f.send(ctx, conn, prepared).Read(), nil
	}
	formats := []int16{pgtype.BinaryFormatCode}
	p := conn.StartPipeline(ctx)
	defer func() {
		if lost := p.Close(); err == nil && result.Err == nil { // the commit comes after the rows
			err = lost
		}
	}()
	for _, first := range premises {
		p.SendQueryParams(first.sql, first.textArguments(), nil, nil, formats)
	}
	if prepared != nil {
		p.SendQueryStatement(prepared, f.arguments, formats, formats)
	} else {
		p.SendQueryParams(f.statement, f.arguments, nil, formats, formats)
	}
	if err := p.Sync(); err != nil {
		return nil, err
	}
	for _, first := range premises {
		if result, err = nextResult(p); err != nil {
			return nil, err
		}
		if result.Err != nil {
			return result, nil
		}
		if !first.answered(result) {
			return nil, first.err
		}
	}
	return nextResult(p)
}

// nextResult reads the next answer of a pipeline.
func nextResult(p *pgconn.Pipeline) (*pgconn.Result, error) {
	next, err := p.GetResults()
	if err != nil {
		return nil, err
	}
	reader, ok := next.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("%w: an answer is a %T", eventstore.ErrCorrupt, next)
	}
	return reader.Read(), nil
}

// What evident.append says of an append.
const (
	wasAccepted = 1
	wasHeld     = 2
)

// verdictsOf reads the answer of evident.append to a batch.
func verdictsOf(row [][]byte, batch []*request) ([]verdict, error) {
	versions, err := integers(row[0])
	if err != nil {
		return nil, err
	}
	words, err := integers(row[1])
	if err != nil {
		return nil, err
	}
	d := newDecoder()
	a := answer{versions: versions, verdicts: words, recordedAt: d.time(row[3])}
	if row[2] != nil {
		a.position = d.unsigned(row[2])
	}
	verdicts := make([]verdict, len(batch))
	for i, r := range batch {
		if verdicts[i], err = a.next(r); err != nil {
			return nil, err
		}
	}
	return verdicts, d.err
}

// answer is what is left of an answer to a batch: for each target the version
// before and the verdict on its append, and the position of the next event that
// was stored.
type answer struct {
	versions   []int64
	verdicts   []int64
	position   uint64
	recordedAt time.Time
}

// next takes the verdict on the next append out.
func (a *answer) next(r *request) (verdict, error) {
	n := len(r.targets)
	if len(a.versions) < n || len(a.verdicts) < n {
		return verdict{}, fmt.Errorf("%w: the answer to an append is cut short", eventstore.ErrCorrupt)
	}
	v := verdict{accepted: a.verdicts[0] == wasAccepted, held: a.verdicts[0] == wasHeld, recordedAt: a.recordedAt, versions: make([]uint64, n)}
	for i := range v.versions {
		v.versions[i] = unsigned(a.versions[i])
	}
	if v.accepted {
		v.first = a.position
		a.position += uint64(max(r.events, 0))
	}
	a.versions, a.verdicts = a.versions[n:], a.verdicts[n:]
	return v, nil
}
