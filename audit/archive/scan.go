package archive

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// scan goes through one file, line by line, and checks it on the way.
type scan struct {
	file   File
	stored *source       // the file as it is stored
	lines  *bufio.Reader // what is in it
	line   int           // the last that was read
	bytes  int64
	last   uint64 // position of the last event
	lastID uuid.UUID
	buffer []byte
}

// source reads the stored file and keeps apart what goes wrong with reading it
// from what is wrong in it.
type source struct {
	from   io.Reader
	sum    hash.Hash
	size   int64
	failed error // of reading
}

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.sum.Write(p[:n])
	s.size += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

// scanFile calls yield with the events of a file until it returns false, which
// more reports. The error is a [*DamageError], ctx's own, or that of the file system.
func scanFile(ctx context.Context, files fs.FS, f File, yield func(e event.Event) bool) (more bool, err error) {
	opened, err := files.Open(f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, &DamageError{File: f.Name, Reason: "is missing", Err: err}
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = opened.Close() }() // it was only read
	s := &scan{file: f, stored: &source{from: opened, sum: sha256.New()}, last: f.After}
	if err := s.open(); err != nil {
		return false, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		e, err := s.next()
		if errors.Is(err, io.EOF) {
			return true, s.end()
		}
		if err != nil {
			return false, err
		}
		if !yield(e) {
			return false, nil
		}
	}
}

// open looks into the file. What is in it is read no further than the manifest
// says that it goes, whatever it would unpack to.
func (s *scan) open() error {
	var content io.Reader = s.stored
	if strings.HasSuffix(s.file.Name, gzipSuffix) {
		unzip, err := gzip.NewReader(bufio.NewReader(s.stored))
		if err != nil {
			return s.damaged("cannot be unpacked", err)
		}
		unzip.Multistream(false)
		content = unzip
	}
	s.lines = bufio.NewReaderSize(io.LimitReader(content, s.file.Bytes+1), 64<<10)
	return nil
}

// damaged is about the line after the last that was read, unless reading itself
// has failed.
func (s *scan) damaged(reason string, err error) error {
	if s.stored.failed != nil {
		return fmt.Errorf("read %s: %w", s.file.Name, s.stored.failed)
	}
	return &DamageError{File: s.file.Name, Line: s.line + 1, Reason: reason, Err: err}
}

// whole is about the file.
func (s *scan) whole(reason string) error {
	return &DamageError{File: s.file.Name, Reason: reason}
}

// next returns the event of the next line, or [io.EOF].
func (s *scan) next() (event.Event, error) {
	line, err := s.read()
	if err != nil {
		return event.Event{}, err
	}
	e, err := decode(line)
	if err != nil {
		return event.Event{}, s.damaged("the line is damaged", err)
	}
	if e.Position <= s.last || e.Position > s.file.Until {
		return event.Event{}, s.damaged(fmt.Sprintf("position %d is out of its place", e.Position), nil)
	}
	if s.line == 0 && e.Position != s.file.First {
		return event.Event{}, s.damaged(fmt.Sprintf("is at position %d, the manifest says %d", e.Position, s.file.First), nil)
	}
	s.line++
	s.last, s.lastID = e.Position, e.ID
	return e, nil
}

// read returns the next line, without its end. It is valid until the next call.
func (s *scan) read() ([]byte, error) {
	s.buffer = s.buffer[:0]
	for {
		part, err := s.lines.ReadSlice('\n')
		s.buffer = append(s.buffer, part...)
		s.bytes += int64(len(part))
		switch {
		case err == nil:
			return s.buffer[:len(s.buffer)-1], nil
		case errors.Is(err, bufio.ErrBufferFull) && len(s.buffer) < MaxLineBytes:
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, s.damaged("is longer than a line can be", nil)
		case errors.Is(err, io.EOF) && len(s.buffer) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, s.damaged("is cut short", nil)
		default:
			return nil, s.damaged("cannot be read", err)
		}
	}
}

// end checks what only the whole file can show.
func (s *scan) end() error {
	if _, err := io.Copy(io.Discard, s.stored); err != nil {
		return s.damaged("cannot be read", err)
	}
	switch {
	case uint64(s.line) != s.file.Events: //nolint:gosec // a count of lines
		return s.whole(fmt.Sprintf("has %d lines, the manifest says %d", s.line, s.file.Events))
	case s.last != s.file.Last:
		return s.whole(fmt.Sprintf("ends at position %d, the manifest says %d", s.last, s.file.Last))
	case s.lastID != s.file.LastID:
		return s.whole(fmt.Sprintf("ends with event %s, the manifest says %s", s.lastID, s.file.LastID))
	case s.bytes != s.file.Bytes, s.stored.size != s.file.Size:
		return s.whole("has another size than the manifest says")
	case hex.EncodeToString(s.stored.sum.Sum(nil)) != s.file.SHA256:
		return s.whole("has another checksum than the manifest says")
	default:
		return nil
	}
}
