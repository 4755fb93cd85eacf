package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tuples are rows in the binary format in which COPY takes them: for each, how
// many values it has, and the values.
type tuples struct{ values }

// begin begins a row. Its values must follow, one for each column.
func (t *tuples) begin(columns int) {
	t.values = binary.BigEndian.AppendUint16(t.values, uint16(columns)) //nolint:gosec // a table has 1,600 at the most.
}

// What stands before and behind the rows.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// copyInto adds the rows to a table.
func (t *tuples) copyInto(ctx context.Context, tx pgx.Tx, table string, columns []string) error {
	rows := io.MultiReader(strings.NewReader(copyHeader), bytes.NewReader(t.values), strings.NewReader(copyTrailer))
	_, err := tx.Conn().PgConn().CopyFrom(ctx, rows, "COPY "+table+" ("+strings.Join(columns, ", ")+") FROM STDIN (FORMAT binary)")
	return err
}

// What becomes of a row in whose place another one stands.
const (
	orFail     = ""
	orPassOver = " ON CONFLICT DO NOTHING"
)

// insertInto adds the rows one by one, in one round trip, and returns how many
// it has added. It is for single rows, and for where PostgreSQL refuses COPY,
// which it does if row-level security stops the role.
func (t *tuples) insertInto(ctx context.Context, tx pgx.Tx, table string, columns []string, conflict string) (added int64, err error) {
	places := make([]string, len(columns))
	for i := range places {
		places[i] = "$" + strconv.Itoa(i+1)
	}
	insert := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(places, ", ") + ")" + conflict
	p := tx.Conn().PgConn().StartPipeline(ctx)
	defer func() {
		if lost := p.Close(); err == nil {
			err = lost
		}
	}()
	sent := 0
	for rest := t.values; len(rest) > 0; sent++ {
		var row [][]byte
		row, rest = firstRow(rest)
		p.SendQueryParams(insert, row, nil, []int16{pgx.BinaryFormatCode}, nil)
	}
	if err := p.Sync(); err != nil {
		return 0, err
	}
	for range sent {
		var result *pgconn.Result
		if result, err = nextResult(p); err != nil {
			return 0, err
		}
		if result.Err != nil {
			return 0, result.Err
		}
		added += result.CommandTag.RowsAffected()
	}
	return added, nil
}

// firstRow takes the first row out: its values, nil for NULL.
func firstRow(rows values) (row [][]byte, rest values) {
	row = make([][]byte, binary.BigEndian.Uint16(rows))
	rest = rows[2:]
	for i := range row {
		size := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; size != absent {
			row[i], rest = rest[:size:size], rest[size:]
		}
	}
	return row, rest
}
