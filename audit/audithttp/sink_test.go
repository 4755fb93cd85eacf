package audithttp_test

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/evident-go/evident/audit"
)

// endless is a finder of n records that are made as they are asked for.
type endless struct {
	audit.Finder

	n int
}

func (e endless) Find(_ context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		n := e.n
		if query.Limit > 0 {
			n = min(n, query.Limit)
		}
		for i := range n {
			d := draft("acme", i)
			d.ID, d.Position, d.RecordedAt = id(i), uint64(e.n-i), start
			if !yield(audit.Restore(d), nil) {
				return
			}
		}
	}
}

// sink is a client that reads everything and keeps nothing.
type sink struct {
	header                                  http.Header
	status, total, largest, writes, flushes int
	deadlines                               []time.Time
}

func (s *sink) Header() http.Header    { return s.header }
func (s *sink) WriteHeader(status int) { s.status = status }
func (s *sink) Flush()                 { s.flushes++ }

// SetWriteDeadline is found by http.ResponseController.
func (s *sink) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() {
		s.deadlines = append(s.deadlines, at)
	}
	return nil
}

func (s *sink) Write(data []byte) (int, error) {
	s.writes++
	s.total += len(data)
	s.largest = max(s.largest, len(data))
	return len(data), nil
}

// sluggish is a finder that takes its time between two records of an export.
type sluggish struct {
	audit.Finder

	pause time.Duration
}

func (s sluggish) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		for record, err := range s.Finder.Find(ctx, query) {
			if query.Limit == 0 && ctx.Err() == nil {
				select {
				case <-time.After(s.pause):
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			if !yield(record, err) {
				return
			}
		}
	}
}
