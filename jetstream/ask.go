package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/internal/delay"
)

// counting is how long a server may take to look through all subjects of a
// stream, at first: seconds for millions.
const counting = 10 * time.Second

// longest is for how long a call goes on without an answer. It is longer than
// servers take to find another leader.
const longest = 30 * time.Second

// againError is an answer after which the same question is asked again.
type againError struct{ err error }

func (e *againError) Error() string { return e.err.Error() }

func (e *againError) Unwrap() error { return e.err }

func again(err error) error { return &againError{err} }

// tries paces what is tried again: with pauses from half a millisecond on, for a
// server that was busy, to a twentieth of a second, for one that is gone.
type tries struct {
	clock  func() time.Time
	began  time.Time
	pauses backoff.ExponentialBackOff
}

func newTries() tries {
	t := tries{
		clock:  time.Now,
		pauses: backoff.ExponentialBackOff{InitialInterval: 500 * time.Microsecond, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: 50 * time.Millisecond},
	}
	t.began = t.clock()
	return t
}

// errGivenUp says that something was tried for longest.
var errGivenUp = fmt.Errorf("given up after %s", longest)

// wait pauses before the next try, unless there shall be none.
func (t *tries) wait(ctx context.Context) error {
	if !t.left() {
		return errGivenUp
	}
	return delay.For(ctx, t.pauses.NextBackOff())
}

// more pauses, or until ctx ends, and reports whether there is time left.
func (t *tries) more(ctx context.Context) bool {
	return !errors.Is(t.wait(ctx), errGivenUp) // the next try asks ctx itself
}

// left reports whether there is time left.
func (t *tries) left() bool { return t.clock().Sub(t.began) < longest }

// insist calls try, each time with so much time, until it returns anything but an
// againError, or until there is none left.
func (s *Store) insist(ctx context.Context, doing string, each time.Duration, try func(ctx context.Context) error) error {
	tries := newTries()
	var cause error
	for {
		if err := s.usable(ctx); err != nil {
			return withCause(err, cause)
		}
		limited, cancel := context.WithTimeout(ctx, each)
		err := try(limited)
		cancel()
		if _, more := errors.AsType[*againError](err); !more {
			return err
		}
		if cause = err; !tries.more(ctx) {
			return unavailable(doing, err)
		}
	}
}

// withCause adds to the end of a deadline what was wrong until then.
func withCause(end, cause error) error {
	if cause == nil || !errors.Is(end, context.DeadlineExceeded) || cause.Error() == context.DeadlineExceeded.Error() {
		return end
	}
	return fmt.Errorf("%w: %w", end, cause)
}

// question asks the leader for one message: that at a place, or the last one on
// a subject.
type question struct {
	Seq  uint64 `json:"seq,omitempty"`
	Last string `json:"last_by_subj,omitempty"`
}

// found is a message as the leader gives it.
type found struct {
	Subject string `json:"subject"`
	Seq     uint64 `json:"seq"`
	Header  []byte `json:"hdrs"`
	Data    []byte `json:"data"`
}

func (f *found) message() message { return message{subject: f.Subject, seq: f.Seq, data: f.Data} }

// lookup asks the leader, which knows of everything that was acknowledged. It
// returns nil if there is no such message.
func (s *Store) lookup(ctx context.Context, q question) (*found, error) {
	return s.lookupUntil(ctx, q, s.config.PublishTimeout, func(*found) error { return nil })
}

// lookupUntil gives each question so much time, and asks again while check says so.
func (s *Store) lookupUntil(ctx context.Context, q question, each time.Duration, check func(m *found) error) (m *found, err error) {
	asked, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	doing := "ask the leader of stream " + s.stream
	err = s.insist(ctx, doing, each, func(ctx context.Context) error {
		reply, err := s.conn.RequestWithContext(ctx, s.api.leader, asked)
		if err != nil {
			return lost(doing, s.hint(err))
		}
		if m, err = s.answered(reply); err != nil {
			return err
		}
		return check(m)
	})
	return m, err
}

// answered reads the leader's answer.
func (s *Store) answered(reply *nats.Msg) (*found, error) {
	var answer struct {
		Error   *natsjs.APIError `json:"error"`
		Message *found           `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, again(err)
	}
	switch {
	case answer.Error == nil && answer.Message != nil:
		return answer.Message, nil
	case answer.Error == nil:
		return nil, again(errors.New("an answer without a message"))
	case answer.Error.ErrorCode == natsjs.JSErrCodeMessageNotFound:
		return nil, nil
	case isRefusal(answer.Error):
		return nil, streamGone(s.stream, answer.Error)
	default:
		return nil, again(answer.Error)
	}
}

// hint adds to a silence that the server has refused something before, if it has:
// it does not answer what a client may not ask, but says so beside.
func (s *Store) hint(err error) error {
	if err == nil {
		return nil // asking the connection would hold up whoever sends
	}
	if last := s.conn.LastError(); errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w; the server has refused something before: %w", err, last)
	}
	return err
}

// lost is what it means that there was no answer: the question is worth asking
// again unless the connection is closed for good.
func lost(doing string, err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) {
		return unavailable(doing, err)
	}
	return again(err)
}

// streamGone is what a refusal means that no right question gets.
func streamGone(stream string, err error) error {
	if codeOf(err) == natsjs.JSErrCodeStreamNotFound {
		return errors.Join(&StreamError{Stream: stream, Setting: "name", Have: "missing", Want: "there", Reason: "it was deleted while the store was open"}, err)
	}
	return errors.Join(&StreamError{Stream: stream, Setting: "configuration", Have: "refused by the server", Want: "accepted", Reason: err.Error()}, err)
}
