package postgres

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// values are values in PostgreSQL's binary format, each behind its size, as
// they stand in arrays and in the rows of COPY. To let a codec go through each
// took half of an append's time in this process, and three times as long for
// the rows of an audit log.
type values []byte

// absent stands in place of the size of a value that there is none of.
const absent = ^uint32(0)

func (v *values) null() { *v = binary.BigEndian.AppendUint32(*v, absent) }

func (v *values) size(bytes int) { *v = binary.BigEndian.AppendUint32(*v, uint32(bytes)) }

func (v *values) text(s string) {
	v.size(len(s))
	*v = append(*v, s...)
}

func (v *values) blob(b []byte) {
	v.size(len(b))
	*v = append(*v, b...)
}

// optionalBlob adds bytes, NULL for none.
func (v *values) optionalBlob(b []byte) {
	if b == nil {
		v.null()
		return
	}
	v.blob(b)
}

func (v *values) id(id uuid.UUID) { v.blob(id[:]) }

// optionalID adds an id, NULL for none.
func (v *values) optionalID(id uuid.UUID) {
	if id == uuid.Nil {
		v.null()
		return
	}
	v.id(id)
}

func (v *values) int32(n int32) {
	v.size(4)
	*v = binary.BigEndian.AppendUint32(*v, uint32(n))
}

func (v *values) int64(n int64) {
	v.size(8)
	*v = binary.BigEndian.AppendUint64(*v, uint64(n))
}

func (v *values) time(t time.Time) { v.int64(micros(t)) }

// micros returns a time as PostgreSQL counts it.
func micros(t time.Time) int64 { return t.UnixMicro() - epoch*1e6 }
