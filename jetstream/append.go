package jetstream

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Append implements [eventstore.Store]. One event is one message; several, of one
// stream or of several, are one atomic batch.
//
// An attempt that is not answered is repeated with the same ids and expectations,
// until the server has said what became of it or until ctx ends, after 30 seconds
// at the latest. In that case the error is [eventstore.ErrOutcomeUnknown] if
// anything was sent.
//
// On one server that keeps its stream in files a batch costs several writes to
// the disk, and takes about ten times as long as an append of one event. Replicas
// collect batches in memory.
func (s *Store) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	if err := s.usable(ctx); err != nil {
		return eventstore.Result{}, err
	}
	if err := s.checkTenants(appends); err != nil {
		return eventstore.Result{}, err
	}
	if err := eventstore.CheckAppends(s.limits, appends); err != nil {
		return eventstore.Result{}, err
	}
	d, err := s.newDelivery(appends)
	if err != nil {
		return eventstore.Result{}, err
	}
	if len(d.bodies) == 0 {
		return s.checkOnly(ctx, appends)
	}
	result, err := d.deliver(ctx)
	if err == nil && result.Position > 0 {
		s.saw(result.Position)
		s.wakeups.wake()
		s.news.tell()
	}
	return result, err
}

// delivery is one append on its way, over all attempts.
type delivery struct {
	store      *Store
	appends    []eventstore.Append
	streams    []string // the subjects of the appends' streams
	bodies     [][]byte // of all events
	recordedAt time.Time

	bases   []uint64 // the versions of the streams before the append; nil while they are not known
	unknown bool     // whether an attempt may have been stored
	absent  bool     // whether it is certain that nothing of it is stored, by this delivery or before
}

func (s *Store) newDelivery(appends []eventstore.Append) (*delivery, error) {
	events := 0
	for i := range appends {
		events += len(appends[i].Events)
	}
	d := &delivery{store: s, appends: appends, streams: make([]string, len(appends)), bodies: make([][]byte, 0, events), recordedAt: s.now()}
	for i := range appends {
		d.streams[i] = s.subjects.stream(appends[i].Stream)
		for j := range appends[i].Events {
			e := &appends[i].Events[j]
			metadata, err := event.EncodeMetadata(e.Metadata)
			if err != nil {
				return nil, err
			}
			d.bodies = append(d.bodies, encodeEnvelope(e, metadata, d.recordedAt))
		}
	}
	return d, nil
}

// deliver makes one attempt after the other.
func (d *delivery) deliver(ctx context.Context) (eventstore.Result, error) {
	tries := newTries()
	var cause error
	for {
		result, err := d.attempt(ctx)
		_, more := errors.AsType[*againError](err)
		if err == nil || !more {
			return result, d.ended(withCause(err, cause))
		}
		cause = err
		if !goOn(ctx, &tries, err) {
			return eventstore.Result{}, d.ended(unavailable("append to stream "+d.store.stream, err))
		}
		d.store.log.Debug("append is tried again", zap.Error(err))
	}
}

// goOn pauses before the next attempt, and reports whether there is time left for
// it. Who was overtaken does not pause: the server is well, and with each pause it
// would be overtaken again.
func goOn(ctx context.Context, tries *tries, err error) bool {
	if errors.Is(err, errOvertaken) {
		tries.pauses.Reset()
		return tries.left()
	}
	return tries.more(ctx)
}

// ended says with an error whether the append may be stored nevertheless. What
// the leader has decided, nothing changes any more.
func (d *delivery) ended(err error) error {
	switch {
	case err == nil || !d.unknown, errors.Is(err, eventstore.ErrConflict), errors.Is(err, eventstore.ErrDuplicateEvent):
		return err
	default:
		return &eventstore.OutcomeUnknownError{Stream: d.appends[0].Stream, Err: err}
	}
}

// attempt tries to store everything once.
func (d *delivery) attempt(ctx context.Context) (eventstore.Result, error) {
	if err := d.store.usable(ctx); err != nil {
		return eventstore.Result{}, err
	}
	if d.bases == nil {
		bases, ok, err := d.findBases(ctx)
		if err != nil {
			return eventstore.Result{}, err
		}
		if !ok {
			return d.judge(ctx, false)
		}
		d.bases = bases
	}
	last, what, err := d.send(ctx)
	switch what {
	case answerStored:
		return d.done(last), nil
	case answerTaken:
		return d.judge(ctx, codeOf(err) != codeWrongSequence)
	case answerRefused:
		return eventstore.Result{}, permanent(d.store.stream, err)
	case answerUnknown:
		d.unknown, d.absent = true, false
	case answerNothing:
	}
	return eventstore.Result{}, again(err)
}

// done returns the result of an append whose last event is at position.
func (d *delivery) done(position uint64) eventstore.Result {
	result := eventstore.Result{Position: position, RecordedAt: d.recordedAt, Versions: make([]uint64, len(d.appends))}
	for i := range d.appends {
		if n := uint64(len(d.appends[i].Events)); n > 0 {
			result.Versions[i] = d.bases[i] + n
			d.store.know(d.streams[i], result.Versions[i])
		}
	}
	return result
}

// findBases returns the versions that the streams have to be at, as far as the
// attempt needs to know them. It is not ok if a version that is expected is not
// there. What is remembered may be out of date: then the server refuses the
// attempt, and the leader is asked.
func (d *delivery) findBases(ctx context.Context) (bases []uint64, ok bool, err error) {
	bases = make([]uint64, len(d.appends))
	for i := range d.appends {
		a := &d.appends[i]
		version, exact := a.Expected.Version()
		switch {
		case exact && version == 0:
		case exact:
			bases[i] = version
			ok, err := d.store.exists(ctx, d.streams[i], version)
			if err != nil || !ok {
				return nil, false, err
			}
		case len(a.Events) == 0 && a.Expected == eventstore.Any():
		default:
			if bases[i], err = d.latest(ctx, d.streams[i]); err != nil {
				return nil, false, err
			}
			if !a.Expected.Holds(bases[i]) {
				return nil, false, nil
			}
		}
	}
	return bases, true, nil
}

// latest returns the version that a stream is at, as far as is remembered.
func (d *delivery) latest(ctx context.Context, stream string) (uint64, error) {
	if known, ok := d.store.versions.Get(stream); ok {
		return known, nil
	}
	return d.store.lastVersion(ctx, stream)
}
