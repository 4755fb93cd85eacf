package projection

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/evident-go/evident/event"
)

// StatusReader knows where projections stand. [*Runner] is one.
type StatusReader interface {
	// Status returns the state of all projections, measured against the store's
	// head. It ends when ctx does.
	Status(ctx context.Context) ([]Status, error)
}

// Pulser is implemented by a [StatusReader] whose loops go round in this process. It
// asks no store, so that a loop can be seen to be alive, or dead, while the
// store is down. [*Runner] is one.
type Pulser interface {
	// Pulse returns what this process knows of its projections: states,
	// heartbeats, lanes, who has paused them, what is ordered. Positions are as
	// they were last seen. It does not block. Nil means that nothing is known.
	Pulse() []Status
}

// Pulse implements [Pulser].
func (r *Runner) Pulse() []Status {
	all := make([]Status, 0, len(r.stewards))
	for _, s := range r.stewards {
		all = append(all, s.pulse())
	}
	return all
}

// StatusCache asks a [StatusReader] on behalf of many, such as health probes and
// metrics, which must neither load a store nor hang with it:
//
//  1. At most one question is on its way.
//  2. What came of it, an error too, is the answer for [StatusCacheConfig.Keep].
//  3. Nobody waits longer than [StatusCacheConfig.Timeout], even if the one who
//     is asked takes no notice of the end of its context.
//
// It is safe for concurrent use.
type StatusCache struct {
	reader StatusReader
	config StatusCacheConfig

	mu   sync.Mutex
	last *question
}

// StatusCacheConfig is how a [StatusCache] works. The zero value has the
// defaults.
type StatusCacheConfig struct {
	// Timeout is how long an answer may take. Default 2 s.
	Timeout time.Duration
	// Keep is for how long an answer is given again. Default 1 s.
	Keep time.Duration
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// question is what was asked once, and its answer.
type question struct {
	late     <-chan struct{} // closed when nobody waits any longer
	answered chan struct{}   // closed when the rest is there
	at       time.Time
	statuses []Status
	err      error
}

// NewStatusCache returns a cache in front of reader. The error, an
// [*event.InvalidError], names what is missing or negative.
func NewStatusCache(reader StatusReader, config StatusCacheConfig) (*StatusCache, error) {
	switch {
	case reader == nil:
		return nil, &event.InvalidError{Field: "status", Reason: "must be set: a *projection.Runner is one"}
	case config.Timeout < 0:
		return nil, &event.InvalidError{Field: "timeout", Reason: "must not be negative; 0 means the default"}
	case config.Keep < 0:
		return nil, &event.InvalidError{Field: "keep", Reason: "must not be negative; 0 means the default"}
	}
	setDefault(&config.Timeout, 2*time.Second)
	setDefault(&config.Keep, time.Second)
	if config.Now == nil {
		config.Now = time.Now
	}
	return &StatusCache{reader: reader, config: config}, nil
}

// Status implements [StatusReader]. Answers share what is in their statuses; it must
// not be changed. An error that matches [context.DeadlineExceeded] says that
// there was no answer in time.
func (c *StatusCache) Status(ctx context.Context) ([]Status, error) {
	q := c.ask(ctx)
	select {
	case <-q.answered:
	case <-q.late:
	case <-ctx.Done():
	}
	select {
	case <-q.answered:
		return slices.Clone(q.statuses), q.err
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("status: no answer within %s: %w", c.config.Timeout, context.DeadlineExceeded)
}

// Pulse implements [Pulser]; it is nil if the one who is asked is none.
func (c *StatusCache) Pulse() []Status {
	p, ok := c.reader.(Pulser)
	if !ok {
		return nil
	}
	return p.Pulse()
}

// ask returns the question that is on its way or was answered just now, or asks
// another one. It goes on for others when ctx ends.
func (c *StatusCache) ask(ctx context.Context) *question {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.good(c.last) {
		return c.last
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Timeout)
	q := &question{late: asking.Done(), answered: make(chan struct{})}
	c.last = q
	go func() {
		defer cancel()
		q.err = Recovered(func() (err error) { q.statuses, err = c.reader.Status(asking); return err })
		q.at = c.config.Now()
		close(q.answered)
	}()
	return q
}

// good reports whether a question need not be asked again.
func (c *StatusCache) good(q *question) bool {
	select {
	case <-q.answered:
		return c.config.Now().Sub(q.at) < c.config.Keep
	default:
		return true
	}
}
