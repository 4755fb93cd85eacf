package privacy

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"strings"
)

// maxLineBytes bounds a line that is read.
const maxLineBytes = 64 << 20

// ExportReader reads an export, once, from its beginning to its end. It is for
// one goroutine.
type ExportReader struct {
	header  Header
	trailer *Trailer
	from    *bufio.Reader
	sum     hash.Hash
	line    int
	last    uint64
	records uint64
}

// ReadExport reads the header of an export. Errors: [*DamageError], [ErrFormat],
// and those of r.
func ReadExport(r io.Reader) (*ExportReader, error) {
	x := &ExportReader{from: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	line, err := x.next()
	if errors.Is(err, io.EOF) {
		return nil, x.damaged("is empty", nil)
	}
	if err != nil {
		return nil, err
	}
	switch h := line.Header; {
	case h == nil:
		return nil, x.damaged("is no header", nil)
	case h.Format != ExportFormat && strings.HasPrefix(h.Format, "evident.person/"):
		return nil, fmt.Errorf("%w: %q, the program knows %q", ErrFormat, h.Format, ExportFormat)
	case h.Format != ExportFormat:
		return nil, x.damaged("does not say what format it has", nil)
	default:
		x.header = h.header()
		return x, nil
	}
}

// Header returns what was asked for.
func (x *ExportReader) Header() Header { return x.header }

// Trailer returns the last line, and whether it was reached. What was read
// before is whole only then.
func (x *ExportReader) Trailer() (Trailer, bool) {
	if x.trailer == nil {
		return Trailer{}, false
	}
	return *x.trailer, true
}

// Entries yields the records. What is missing, altered or out of order, and a
// file that was cut, is a [*DamageError] that names the line; it is yielded once
// and ends the sequence, which can be ranged over once only.
func (x *ExportReader) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for x.trailer == nil {
			entry, err := x.entry()
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if x.trailer == nil && !yield(entry, nil) {
				return
			}
		}
	}
}

// entry returns the next record, or reads the trailer.
func (x *ExportReader) entry() (Entry, error) {
	before := hex.EncodeToString(x.sum.Sum(nil))
	line, err := x.next()
	switch {
	case errors.Is(err, io.EOF):
		x.line++
		return Entry{}, x.damaged("was cut: there is no trailer", nil)
	case err != nil:
		return Entry{}, err
	case line.Trailer != nil:
		return Entry{}, x.end(Trailer(*line.Trailer), before)
	case line.Record == nil:
		return Entry{}, x.damaged("is neither a record nor the trailer", nil)
	}
	entry, err := line.Record.entry()
	if err != nil {
		return Entry{}, x.damaged("is no record", err)
	}
	if entry.Position <= x.last || entry.Position > x.header.AsOf {
		return Entry{}, x.damaged(fmt.Sprintf("position %d is out of its place", entry.Position), nil)
	}
	x.last = entry.Position
	x.records++
	return entry, nil
}

// end checks the trailer against what was read.
func (x *ExportReader) end(t Trailer, sum string) error {
	if t.Records != x.records {
		return x.damaged(fmt.Sprintf("%d records were read, the trailer says %d", x.records, t.Records), nil)
	}
	if t.SHA256 != sum {
		return x.damaged("the lines before have another checksum than the trailer says", nil)
	}
	if _, err := x.from.ReadByte(); !errors.Is(err, io.EOF) {
		return x.damaged("there is something behind the trailer", err)
	}
	x.trailer = &t
	return nil
}

// next returns the next line, or [io.EOF].
func (x *ExportReader) next() (line lineJSON, err error) {
	content, err := x.read()
	if err != nil {
		return lineJSON{}, err
	}
	x.line++
	x.sum.Write(content)
	if err := json.Unmarshal(content, &line); err != nil {
		return lineJSON{}, x.damaged("is not a line of an export", err)
	}
	return line, nil
}

func (x *ExportReader) read() (content []byte, err error) {
	for {
		part, err := x.from.ReadSlice('\n')
		content = append(content, part...)
		switch {
		case err == nil:
			return content, nil
		case errors.Is(err, bufio.ErrBufferFull) && len(content) < maxLineBytes:
			continue
		case errors.Is(err, io.EOF) && len(content) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			x.line++
			return nil, x.damaged("is cut, or longer than a line can be", nil)
		default:
			return nil, fmt.Errorf("read export: %w", err)
		}
	}
}

func (x *ExportReader) damaged(reason string, err error) error {
	return &DamageError{Line: max(x.line, 1), Reason: reason, Err: err}
}

// VerifyExport reads an export to its end, and returns what it says of itself if
// it is whole. Errors are those of [ReadExport] and of its entries.
func VerifyExport(r io.Reader) (Header, Trailer, error) {
	x, err := ReadExport(r)
	if err != nil {
		return Header{}, Trailer{}, err
	}
	for _, err := range x.Entries() {
		if err != nil {
			return x.header, Trailer{}, err
		}
	}
	return x.header, *x.trailer, nil
}
