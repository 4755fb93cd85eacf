package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// tuples are rows in the binary format in which COPY takes them: measured, to
// write them down by hand takes a third of what a codec for each value does.
type tuples struct {
	bytes []byte
	rows  int
}

// What stands before and behind the rows.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
	absent      = ^uint32(0) // in place of a value's size
)

// begin begins a row. Its values must follow, one for each column.
func (t *tuples) begin(columns int) {
	t.bytes = binary.BigEndian.AppendUint16(t.bytes, uint16(columns)) //nolint:gosec // a table has 1,600 at the most.
	t.rows++
}

func (t *tuples) null() { t.bytes = binary.BigEndian.AppendUint32(t.bytes, absent) }

// size says how long the value is that follows.
func (t *tuples) size(bytes int) {
	t.bytes = binary.BigEndian.AppendUint32(t.bytes, uint32(bytes)) //nolint:gosec // what is longer the database would not have taken.
}

func (t *tuples) text(value string) {
	t.size(len(value))
	t.bytes = append(t.bytes, value...)
}

// json adds a document, NULL for none.
func (t *tuples) json(document []byte) {
	if document == nil {
		t.null()
		return
	}
	t.size(len(document))
	t.bytes = append(t.bytes, document...)
}

func (t *tuples) integer(value int64) {
	t.size(8)
	t.bytes = binary.BigEndian.AppendUint64(t.bytes, uint64(value)) //nolint:gosec // two's complement is what is wanted.
}

func (t *tuples) time(value time.Time) { t.integer(value.UnixMicro() - epoch*1e6) }

func (t *tuples) id(id uuid.UUID) {
	t.size(len(id))
	t.bytes = append(t.bytes, id[:]...)
}

// optionalID adds an id, NULL for none.
func (t *tuples) optionalID(id uuid.UUID) {
	if id == uuid.Nil {
		t.null()
		return
	}
	t.id(id)
}

// copyInto adds the rows to a table.
func (t *tuples) copyInto(ctx context.Context, tx pgx.Tx, table string, columns []string) error {
	rows := io.MultiReader(strings.NewReader(copyHeader), bytes.NewReader(t.bytes), strings.NewReader(copyTrailer))
	_, err := tx.Conn().PgConn().CopyFrom(ctx, rows, "COPY "+table+" ("+strings.Join(columns, ", ")+") FROM STDIN (FORMAT binary)")
	return err
}

// insertInto adds the one row to a table, unless one stands in its place, and
// reports whether it did.
func (t *tuples) insertInto(ctx context.Context, tx pgx.Tx, table string, columns []string) (bool, error) {
	var sql strings.Builder
	sql.WriteString("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ($1")
	for i := range columns[1:] {
		sql.WriteString(", $" + strconv.Itoa(i+2))
	}
	sql.WriteString(") ON CONFLICT DO NOTHING")
	result := tx.Conn().PgConn().ExecParams(ctx, sql.String(), t.values(), nil, []int16{pgx.BinaryFormatCode}, nil).Read()
	return result.CommandTag.RowsAffected() == 1, result.Err
}

// values returns those of the one row, nil for NULL.
func (t *tuples) values() [][]byte {
	values := make([][]byte, 0, binary.BigEndian.Uint16(t.bytes))
	for left := t.bytes[2:]; len(left) > 0; {
		size := binary.BigEndian.Uint32(left)
		if left = left[4:]; size == absent {
			values = append(values, nil)
			continue
		}
		values = append(values, left[:size:size])
		left = left[size:]
	}
	return values
}
