package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// request is an append that was checked and waits for its answer.
type request struct {
	targets  []target
	events   int
	premises []premise // of each of its statements
	result   eventstore.Result
	err      error
	done     chan struct{} // closed when result and err are set
}

// target is what an append does to one stream.
type target struct {
	eventstore.Append

	metadata [][]byte // of its events, encoded
}

func newRequest(limits eventstore.Limits, appends []eventstore.Append) (*request, error) {
	if err := eventstore.CheckAppends(limits, appends); err != nil {
		return nil, err
	}
	r := &request{targets: make([]target, len(appends)), done: make(chan struct{})}
	for i := range appends {
		t := &r.targets[i]
		t.Append = appends[i]
		t.metadata = make([][]byte, len(t.Events))
		for n := range t.Events {
			metadata, err := event.EncodeMetadata(t.Events[n].Metadata)
			if err != nil {
				return nil, err
			}
			t.metadata[n] = metadata
		}
		r.events += len(t.Events)
	}
	return r, nil
}

func (r *request) answer(result eventstore.Result, err error) {
	r.result, r.err = result, err
	close(r.done)
}

// Append implements [eventstore.Store]. It is one round trip to the database,
// shared with other appends of this store that come while one is on its way;
// each is judged by itself.
//
// An append whose answer was lost with the connection is sent again by the
// store itself, which is safe. [eventstore.ErrOutcomeUnknown] remains if that,
// too, has no answer, or if ctx ends before.
func (s *Store) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	r, err := newRequest(s.config.Limits, appends)
	if err != nil {
		return eventstore.Result{}, err
	}
	if err := s.writable(ctx); err != nil {
		return eventstore.Result{}, err
	}
	alone, err := s.queue.enter(r)
	if err != nil {
		return eventstore.Result{}, err
	}
	if alone {
		s.flushOne(ctx, r)
		return r.result, r.err
	}
	return s.await(ctx, r)
}

// await returns what becomes of an append that others send.
func (s *Store) await(ctx context.Context, r *request) (eventstore.Result, error) {
	select {
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
	}
	if s.queue.withdraw(r) {
		return eventstore.Result{}, ctx.Err()
	}
	select {
	case <-r.done: // it was answered in the same moment
		return r.result, r.err
	default:
		return eventstore.Result{}, r.unknown(ctx.Err())
	}
}

// unknown is what an append is told of whose outcome nothing is known.
func (r *request) unknown(err error) error {
	if r.events == 0 {
		return err // nothing could have been stored
	}
	return &eventstore.OutcomeUnknownError{Stream: r.targets[0].Stream, Err: err}
}

// flushAll sends what waits until the store is closed.
func (s *Store) flushAll(ctx context.Context) {
	for {
		batch := s.queue.take()
		if batch == nil {
			return
		}
		s.flush(ctx, batch, false)
		s.queue.returned()
	}
}

// flushOne sends one append, in the goroutine of its caller.
func (s *Store) flushOne(ctx context.Context, r *request) {
	defer s.queue.returned()
	s.flush(ctx, []*request{r}, true)
}

// flush sends a batch in one call. If that fails because of one of them, or in
// the unknown, each is settled by itself. Who is not patient leaves those apart
// that would wait for a transaction of somebody else's.
func (s *Store) flush(ctx context.Context, batch []*request, patient bool) {
	// Others wait for its streams, and Close for it.
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	verdicts, err := s.send(ctx, batch, patient)
	for i, r := range batch {
		var v verdict
		if err == nil {
			v = verdicts[i]
		}
		if v.held {
			s.goroutines.Go(func() { s.settleHeld(context.WithoutCancel(ctx), r) })
			continue
		}
		result, refusal := s.settle(ctx, r, v, err, len(batch) > 1)
		s.finish(r, result, refusal)
	}
	s.watcher.stored()
}

// bounded returns a context that ends after WriteTimeout at the latest; then its
// cause says so.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.config.WriteTimeout, s.late)
}

// finish answers an append and lets others have its streams.
func (s *Store) finish(r *request, result eventstore.Result, err error) {
	s.queue.free(r)
	r.answer(result, err)
}

// settleHeld sends an append that waits for a transaction of somebody else's, who
// holds one of its streams.
func (s *Store) settleHeld(ctx context.Context, r *request) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	result, refusal := s.settleInTurn(ctx, r)
	s.finish(r, result, refusal)
	s.watcher.stored()
}

// settleInTurn sends an append when it is its turn to wait in the database. Only
// so many do at a time, since each has a connection that others may need.
func (s *Store) settleInTurn(ctx context.Context, r *request) (eventstore.Result, error) {
	select {
	case s.patience <- struct{}{}:
		defer func() { <-s.patience }()
		v, err := s.sendAlone(ctx, r, true)
		return s.settle(ctx, r, v, err, false)
	case <-ctx.Done():
		return eventstore.Result{}, s.failure("append", fmt.Errorf("%w: too many streams are held by open transactions", eventstore.ErrUnavailable))
	case <-s.life.Done():
		return eventstore.Result{}, eventstore.ErrClosed
	}
}

// sendApart settles an append that shares no call with others.
func (s *Store) sendApart(ctx context.Context, r *request) (eventstore.Result, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	v, err := s.sendAlone(ctx, r, false)
	if v.held {
		return s.settleInTurn(ctx, r)
	}
	return s.settle(ctx, r, v, err, false)
}

// sendAlone sends one append in a call of its own.
func (s *Store) sendAlone(ctx context.Context, r *request, patient bool) (verdict, error) {
	verdicts, err := s.send(ctx, []*request{r}, patient)
	if err != nil {
		return verdict{}, err
	}
	return verdicts[0], nil
}

// attempts is how often an append is sent at the most.
const attempts = 3

// settle returns what an append is told, by the verdict on it or after the
// failure of a call that it may have shared.
func (s *Store) settle(ctx context.Context, r *request, v verdict, err error, shared bool) (eventstore.Result, error) {
	if err == nil {
		result, refusal, lost := s.judge(ctx, r, v)
		if lost == nil {
			return result, refusal
		}
		err, shared = lost, false
	}
	return s.settleAfter(ctx, r, err, shared)
}

// settleAfter goes on after a first call has failed, which others may have
// shared. To send it again is safe: the database knows its event ids, and an
// append is stored once, whichever call arrives first.
func (s *Store) settleAfter(ctx context.Context, r *request, err error, shared bool) (eventstore.Result, error) {
	unsure := false
	for n := 1; ; n++ {
		unsure = unsure || isUnsure(err)
		if isDuplicate(err) {
			result, refusal, lost := s.repeat(ctx, s.behind(r.premises), r)
			if lost == nil && (refusal != nil || result.Position > 0) {
				return result, refusal
			}
			if lost != nil { // the ids that are stored may be its own
				unsure, err = true, lost
			}
		}
		if n == attempts || ctx.Err() != nil || !shared && !isPassing(err) {
			return eventstore.Result{}, s.undecided(ctx, r, err, unsure)
		}
		shared = false
		var result eventstore.Result
		var refusal error
		if result, refusal, err = s.resend(ctx, r); err != nil {
			continue
		}
		if unsure && mayComeTrue(refusal) {
			return eventstore.Result{}, r.unknown(fmt.Errorf("an earlier call may still arrive, although %v", refusal)) //nolint:errorlint // it is no conflict until that is known.
		}
		return result, refusal
	}
}

// resend sends an append by itself, once there is a connection that answers.
func (s *Store) resend(ctx context.Context, r *request) (result eventstore.Result, refusal, err error) {
	if err := s.weed(ctx); err != nil {
		return eventstore.Result{}, nil, err
	}
	v, err := s.sendAlone(ctx, r, true)
	if err != nil {
		return eventstore.Result{}, nil, err
	}
	return s.judge(ctx, r, v)
}

// mayComeTrue reports whether a refusal is not for good: a version that a stream
// has not reached it may reach, and then a call that was delayed on its way
// would be accepted.
func mayComeTrue(refusal error) bool {
	conflict, ok := errors.AsType[*eventstore.ConflictError](refusal)
	if !ok {
		return false
	}
	version, exact := conflict.Expected.Version()
	return exact && version > conflict.Actual || conflict.Expected == eventstore.StreamExists()
}

// weed makes sure that the pool has a connection that answers. When the server
// or the network was down, all that are in it may be dead; each is found out
// once.
func (s *Store) weed(ctx context.Context) error {
	for left := s.pool.Stat().MaxConns(); ; left-- {
		err := s.pool.Ping(ctx)
		if err == nil {
			return nil
		}
		if left == 0 || ctx.Err() != nil {
			return &undoneError{err}
		}
	}
}

// undecided is what an append is told that could not be settled.
func (s *Store) undecided(ctx context.Context, r *request, err error, unsure bool) error {
	if late, ok := errors.AsType[*Error](context.Cause(ctx)); ok && isContext(err) {
		err = late
	}
	err = s.failure("append", err)
	if unsure {
		return r.unknown(err)
	}
	return err
}

// isPassing reports whether another attempt may help at once: the connection
// was lost, or the transaction was in another's way.
func isPassing(err error) bool {
	code, ok := codeOf(err)
	return ok && (code == "" || code == codeUniqueViolation || code == codeSerialization || code == codeDeadlock || code == codeStatementUnknown || isCut(err))
}

// judge returns what an append is told by the database's verdict on it; lost is
// why it could not be found out.
func (s *Store) judge(ctx context.Context, r *request, v verdict) (result eventstore.Result, refusal, lost error) {
	if v.err != nil || v.accepted {
		return v.result(r), v.err, nil
	}
	if r.events > 0 {
		if result, refusal, lost = s.repeat(ctx, s.behind(r.premises), r); lost != nil {
			return eventstore.Result{}, nil, fmt.Errorf("look for events that may be stored already: %w", lost)
		}
		if refusal != nil || result.Position > 0 {
			return result, refusal, nil
		}
	}
	return eventstore.Result{}, v.refusal(r), nil
}

// verdict is what the database has decided on one append.
type verdict struct {
	accepted   bool
	held       bool  // not judged: another transaction holds one of its streams
	err        error // of an inline projection
	recordedAt time.Time
	versions   []uint64 // of its streams, before
	first      uint64   // the position of the first event; the others follow
}

// result is the answer to an append that was accepted.
func (v verdict) result(r *request) eventstore.Result {
	if !v.accepted {
		return eventstore.Result{}
	}
	result := eventstore.Result{RecordedAt: v.recordedAt, Versions: make([]uint64, len(r.targets))}
	for i, version := range v.versions {
		if n := len(r.targets[i].Events); n > 0 {
			result.Versions[i] = version + uint64(n)
		}
	}
	if r.events > 0 {
		result.Position = v.first + uint64(r.events) - 1
	}
	return result
}

// refusal names the first stream that was not as expected.
func (v verdict) refusal(r *request) error {
	for i, version := range v.versions {
		if t := &r.targets[i]; !t.Expected.Holds(version) {
			return &eventstore.ConflictError{Stream: t.Stream, Expected: t.Expected, Actual: version}
		}
	}
	return fmt.Errorf("%w: an append was refused although every expectation holds", eventstore.ErrCorrupt)
}
