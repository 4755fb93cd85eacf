package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/eventstore"
)

// sentBefore reports whether the first event of any stream is stored already:
// either the append is sent again, or its ids were used for something else.
func (d *delivery) sentBefore(ctx context.Context) (bool, error) {
	for i := range d.appends {
		if len(d.appends[i].Events) == 0 {
			continue
		}
		if place, err := d.find(ctx, i, 0); place != nil || err != nil {
			return place != nil, err
		}
	}
	return false, nil
}

// repeat answers an append that is sent again as it was answered at first. All
// its events have to be where it wants them; expectations on streams that it
// does not write held at that time and are not judged again.
func (d *delivery) repeat(ctx context.Context) (eventstore.Result, error) {
	result := eventstore.Result{Versions: make([]uint64, len(d.appends))}
	for i := range d.appends {
		a := &d.appends[i]
		if len(a.Events) == 0 {
			continue
		}
		first, err := d.find(ctx, i, 0)
		if err != nil {
			return eventstore.Result{}, err
		}
		if first == nil {
			return eventstore.Result{}, d.withoutFirst(ctx, i)
		}
		if !wouldHave(a, first, 0) {
			return eventstore.Result{}, &eventstore.DuplicateEventError{EventID: first.ID, Stream: a.Stream}
		}
		last, err := d.follows(ctx, i, first)
		if err != nil {
			return eventstore.Result{}, err
		}
		if last == nil {
			return eventstore.Result{}, d.inPart(ctx)
		}
		result.Versions[i] = last.AggregateVersion
		if last.Position > result.Position {
			result.Position, result.RecordedAt = last.Position, last.RecordedAt
		}
	}
	return result, nil
}

// withoutFirst returns what it means that the first event of append i was not found,
// and that of another one was.
func (d *delivery) withoutFirst(ctx context.Context, i int) error {
	missing, err := d.store.isMissing(ctx, func(ctx context.Context) (bool, error) {
		first, err := d.find(ctx, i, 0)
		return first != nil, err
	})
	switch {
	case err != nil:
		return err
	case missing:
		return d.inPart(ctx)
	default:
		return d.denied(fmt.Errorf("event %s is stored", d.appends[i].Events[0].ID))
	}
}

// follows returns the last event of append i if its events stand behind first as
// they do in the append, and nil otherwise.
func (d *delivery) follows(ctx context.Context, i int, first *stored) (*stored, error) {
	events := d.appends[i].Events
	low := first.AggregateVersion - 1
	high := low + uint64(len(events))
	if there, err := d.store.exists(ctx, d.streams[i], high); err != nil {
		return nil, err
	} else if !there {
		if absent, err := d.store.isAbsent(ctx, d.streams[i], high); absent || err != nil {
			return nil, err
		}
	}
	have, err := d.store.readVersions(ctx, d.streams[i], low, high)
	if err != nil {
		return nil, err
	}
	for j := range events {
		if have[j].ID != events[j].ID {
			return nil, nil
		}
	}
	return &have[len(have)-1], nil
}

// elsewhere returns an error that names the first event of the append that is
// stored, or nil if none is. It is not said of one that is where the append wants
// it, behind the first event of its stream: of that the leader did not know.
func (d *delivery) elsewhere(ctx context.Context) error {
	i, j, e, err := d.firstStored(ctx)
	if e == nil || err != nil {
		return err
	}
	a := &d.appends[i]
	if wouldHave(a, e, j) {
		first, err := d.store.event(ctx, question{Last: versionOf(d.streams[i], e.AggregateVersion-uint64(j))}) //nolint:gosec // an index.
		if err != nil {
			return err
		}
		if first == nil || first.ID == a.Events[0].ID {
			return d.denied(fmt.Errorf("event %s is stored", e.ID))
		}
	}
	return &eventstore.DuplicateEventError{EventID: e.ID, Stream: a.Stream}
}

// wouldHave reports whether an event stands where an append would have stored it as
// its j-th.
func wouldHave(a *eventstore.Append, e *stored, j int) bool {
	before := uint64(j) + 1 //nolint:gosec // an index.
	return eventstore.StreamOf(e.Event) == a.Stream && e.AggregateVersion >= before && a.Expected.Holds(e.AggregateVersion-before)
}

// inPart refuses an append of which something is stored and something is not.
func (d *delivery) inPart(ctx context.Context) error {
	i, _, e, err := d.firstStored(ctx)
	switch {
	case err != nil:
		return err
	case e == nil:
		return again(errors.New("the server has just forgotten an id"))
	default:
		return &eventstore.DuplicateEventError{EventID: e.ID, Stream: d.appends[i].Stream}
	}
}

// firstStored returns the first event of the append that is stored, and its place
// in it, or nil if none is.
func (d *delivery) firstStored(ctx context.Context) (i, j int, e *stored, err error) {
	for i := range d.appends {
		for j := range d.appends[i].Events {
			if e, err := d.find(ctx, i, j); e != nil || err != nil {
				return i, j, e, err
			}
		}
	}
	return 0, 0, nil, nil
}

// find returns event j of append i if it is stored: at the version that it is
// meant for, at any time, or anywhere, as long as the server knows its id.
func (d *delivery) find(ctx context.Context, i, j int) (*stored, error) {
	id := d.appends[i].Events[j].ID
	if base, exact := d.appends[i].Expected.Version(); exact && base+1 > base {
		e, err := d.store.event(ctx, question{Last: versionOf(d.streams[i], base+1+uint64(j))}) //nolint:gosec // an index.
		if err != nil || e != nil && e.ID == id {
			return e, err
		}
	}
	seq, err := d.store.placeOf(ctx, id)
	if seq == 0 || err != nil {
		return nil, err
	}
	e, err := d.store.event(ctx, question{Seq: seq})
	switch {
	case err != nil:
		return nil, err
	case e == nil && d.store.replicated: // asked was another leader, which is behind
		return nil, again(fmt.Errorf("the leader does not have message %d, where event %s is", seq, id))
	case e == nil || e.ID != id:
		return nil, fmt.Errorf("message %d: the server takes it for event %s: %w", seq, id, eventstore.ErrCorrupt)
	default:
		return e, nil
	}
}

// event asks the leader for an event, nil if there is none.
func (s *Store) event(ctx context.Context, q question) (*stored, error) {
	m, err := s.lookup(ctx, q)
	if m == nil || err != nil {
		return nil, err
	}
	e, err := s.decode(m.message())
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// placeOf returns where the event with an id is stored, 0 if the server does not
// know it, or no longer.
//
// Servers have no question for that. But they look at the id of what is published
// before they look whether it may remove other messages, which on a stream that
// denies purging nothing may: so such a message is never stored, and the refusal
// tells whether the id is known.
func (s *Store) placeOf(ctx context.Context, id uuid.UUID) (seq uint64, err error) {
	doing := "look for event " + id.String()
	err = s.insist(ctx, doing, s.config.PublishTimeout, func(ctx context.Context) error {
		reply, err := s.conn.RequestMsgWithContext(ctx, &nats.Msg{Subject: s.subjects.guard, Header: nats.Header{
			natsjs.MsgIDHeader: []string{id.String()}, rollupHeader: []string{rollupSubject},
		}})
		ack, what, err := answerOf(reply, err)
		switch {
		case ack.Duplicate:
			seq = ack.Seq
			return nil
		case codeOf(err) == codeRollup:
			return nil
		case what == answerStored:
			return fmt.Errorf("%s: the stream takes what would remove messages: %w", doing, &StreamError{
				Stream: s.stream, Setting: "deny_purge", Have: "false", Want: "true", Reason: "whoever may publish could remove messages",
			})
		case what == answerRefused:
			return permanent(s.stream, err)
		default:
			return again(err)
		}
	})
	return seq, err
}

const (
	rollupHeader  = natsjs.MsgRollup
	rollupSubject = natsjs.MsgRollupSubject
)
