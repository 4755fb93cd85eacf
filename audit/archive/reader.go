package archive

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Reader reads an archive as it was when it was opened. It is an
// [eventstore.Store] that nothing can be appended to: projections run over it,
// events can be copied from it into a store. An archive of chosen events has
// holes in its streams.
//
// Each line is checked before its event is yielded, and the checksum of a file
// when it was read to its end. Damage is a [*DamageError], which ends the
// sequence. Nothing is indexed: a read unpacks every file that may hold a
// position that is asked for. Forward, one event is in memory at a time;
// backward, the matching events of one file.
//
// A Reader is safe for concurrent use if its file system is.
type Reader struct {
	files    fs.FS
	manifest Manifest
	closed   chan struct{}
	close    func()
}

// Open opens an archive. The manifest is checked, the files are not: [Verify]
// does. Errors: [ErrNotArchive], [ErrFormat], [ErrDamaged], and those of the
// file system.
func Open(ctx context.Context, files fs.FS) (*Reader, error) {
	manifest, err := readManifest(ctx, files)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	r := &Reader{files: files, manifest: manifest, closed: make(chan struct{})}
	r.close = sync.OnceFunc(func() { close(r.closed) })
	return r, nil
}

// Manifest returns what the archive holds.
func (r *Reader) Manifest() Manifest {
	m := r.manifest
	m.Files = slices.Clone(m.Files)
	return m
}

// Records returns the archive as an audit log: the records of its events, for
// the same questions. Config should be that of the log.
func (r *Reader) Records(config audit.Config) audit.Reader { return audit.Replay(r, config) }

// ReadAll implements [eventstore.Store].
func (r *Reader) ReadAll(ctx context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		if err := query.Validate(); err != nil {
			yield(event.Event{}, err)
			return
		}
		s := &search{reader: r, query: query, left: query.Limit, yield: yield}
		for _, f := range r.filesOf(query) {
			if more, err := s.in(ctx, f); err != nil {
				yield(event.Event{}, err)
				return
			} else if !more {
				return
			}
		}
		if err := r.usable(ctx); err != nil {
			yield(event.Event{}, err)
		}
	}
}

// filesOf returns the files that may hold what a query wants, in its order.
func (r *Reader) filesOf(query eventstore.Query) (files []File) {
	for _, f := range r.manifest.Files {
		if f.Last > query.After && (query.Until == 0 || f.First <= query.Until) {
			files = append(files, f)
		}
	}
	if query.Direction == eventstore.Backward {
		slices.Reverse(files)
	}
	return files
}

// search is one reading of an archive.
type search struct {
	reader *Reader
	query  eventstore.Query
	left   int // how many events are wanted still; 0 for no limit
	yield  func(event.Event, error) bool
}

// in yields what a file has, and reports whether to go on.
func (s *search) in(ctx context.Context, f File) (more bool, err error) {
	if err := s.reader.usable(ctx); err != nil {
		return false, err
	}
	if s.query.Direction == eventstore.Forward {
		return scanFile(ctx, s.reader.files, f, s.offer)
	}
	var found []event.Event
	_, err = scanFile(ctx, s.reader.files, f, func(e event.Event) bool {
		if s.query.Matches(&e) {
			found = append(found, e)
		}
		return true
	})
	if err != nil {
		return false, err
	}
	for _, e := range slices.Backward(found) {
		if !s.offer(e) {
			return false, nil
		}
	}
	return true, nil
}

// offer yields an event if it is wanted, and reports whether to go on.
func (s *search) offer(e event.Event) bool {
	if s.query.Direction == eventstore.Forward && s.query.Until > 0 && e.Position > s.query.Until {
		return false
	}
	if !s.query.Matches(&e) {
		return true
	}
	if !s.yield(e, nil) {
		return false
	}
	s.left--
	return s.left != 0
}
