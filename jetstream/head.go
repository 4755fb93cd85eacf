package jetstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/evident-go/evident/eventstore"
)

// Headers of atomic batches, and of those that are read directly.
const (
	batchIDHeader       = "Nats-Batch-Id"
	batchSequenceHeader = "Nats-Batch-Sequence"
	batchCommitHeader   = "Nats-Batch-Commit"
	batchCommit         = "1"
)

// Head implements [eventstore.Store]. The leader is asked, since replicas may be
// behind.
func (s *Store) Head(ctx context.Context) (uint64, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	var head uint64
	_, err := s.lookupUntil(ctx, question{Last: ">"}, s.config.PublishTimeout, func(m *found) (err error) {
		if head, err = completeUpTo(m); err != nil {
			return err
		}
		if known := s.seen.Load(); head < known {
			return again(fmt.Errorf("the leader ends at %d and %d was seen", head, known))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	s.saw(head)
	return head, nil
}

// completeUpTo returns the end of the last append that is there as a whole, when
// m is the last message of the stream. Servers show a batch at once; should one
// not, what is there of it is left out.
func completeUpTo(m *found) (uint64, error) {
	if m == nil {
		return 0, nil
	}
	if len(m.Header) == 0 {
		return m.Seq, nil
	}
	header, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		return 0, damaged(m.message(), err)
	}
	if header.Get(batchIDHeader) == "" || header.Get(batchCommitHeader) != "" {
		return m.Seq, nil
	}
	within, err := strconv.ParseUint(header.Get(batchSequenceHeader), 10, 64)
	if err != nil || within > m.Seq {
		return 0, damaged(m.message(), fmt.Errorf("%s is %q", batchSequenceHeader, header.Get(batchSequenceHeader)))
	}
	return m.Seq - within, nil
}

// lastVersion asks the leader for the last version of a stream, 0 if it has none.
// A leader that was cut off from the others takes itself for one for some
// seconds more: one that does not have what is known here is asked again.
func (s *Store) lastVersion(ctx context.Context, stream string) (version uint64, err error) {
	known, _ := s.versions.Get(stream)
	_, err = s.lookupUntil(ctx, question{Last: versions(stream)}, s.config.PublishTimeout, func(m *found) error {
		if version = 0; m != nil {
			if _, version, err = s.subjects.parse(m.Subject); err != nil {
				return damaged(m.message(), err)
			}
		}
		if version < known {
			return again(fmt.Errorf("the leader has version %d of %s, and %d was seen", version, stream, known))
		}
		return nil
	})
	if version == 0 || err != nil {
		return 0, err
	}
	s.know(stream, version)
	return version, nil
}

// exists reports whether a stream has a version. Events are never removed, so
// what was true stays true.
func (s *Store) exists(ctx context.Context, stream string, version uint64) (bool, error) {
	if known, ok := s.versions.Get(stream); ok && known >= version {
		return true, nil
	}
	m, err := s.lookup(ctx, question{Last: versionOf(stream, version)})
	if m == nil || err != nil {
		return false, err
	}
	s.know(stream, version)
	return true, nil
}

// know notes that a stream has a version.
func (s *Store) know(stream string, version uint64) {
	if known, ok, _ := s.versions.PeekOrAdd(stream, version); ok && known < version {
		s.versions.Add(stream, version)
	}
}

// checkOnly is an append without events. Versions only rise, so expectations that
// hold twice held all at once in between.
func (s *Store) checkOnly(ctx context.Context, appends []eventstore.Append) (eventstore.Result, error) {
	rounds := 1
	if len(appends) > 1 {
		rounds = 2
	}
	for range rounds {
		err := s.insist(ctx, "check expectations", longest, func(ctx context.Context) error { return s.conflict(ctx, appends) })
		if err != nil {
			return eventstore.Result{}, err
		}
	}
	return eventstore.Result{RecordedAt: s.now(), Versions: make([]uint64, len(appends))}, nil
}

// checkExpectations returns the first conflict, as the leader sees it.
func (s *Store) checkExpectations(ctx context.Context, appends []eventstore.Append) error {
	for i := range appends {
		a := &appends[i]
		actual, err := s.lastVersion(ctx, s.subjects.stream(a.Stream))
		if err != nil {
			return err
		}
		if !a.Expected.Holds(actual) {
			return &eventstore.ConflictError{Stream: a.Stream, Expected: a.Expected, Actual: actual}
		}
	}
	return nil
}
