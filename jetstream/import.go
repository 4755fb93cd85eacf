package jetstream

import (
	"context"
	"fmt"
	"iter"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ eventstore.Importer = (*Store)(nil)

// What one batch of an import has at the most. Servers take 1,000 messages.
const (
	importMost  = 500
	importBytes = 4 << 20
)

// Import implements [eventstore.Importer]. It is much faster than Append: up to
// five hundred events, of whatever streams, are one atomic batch. What is stored
// already is found out by questions, some hundred events at a time.
//
// An id that is stored at another place is known as long as the server knows it,
// see [Config.DuplicateWindow].
func (s *Store) Import(ctx context.Context, events iter.Seq2[event.Event, error]) (stored int, err error) {
	l := newIntake(s)
	for e, err := range events {
		if err != nil {
			return l.stored, fmt.Errorf("import: %w", err)
		}
		if err := l.add(ctx, &e); err != nil {
			return l.stored, fmt.Errorf("import event %s: %w", e.ID, err)
		}
	}
	if err := l.flush(ctx); err != nil {
		return l.stored, fmt.Errorf("import: %w", err)
	}
	return l.stored, nil
}

// intake gathers the events of one batch of an import.
type intake struct {
	store  *Store
	events []loaded
	places map[string]uuid.UUID // the ids of the events that were gathered, by their subjects
	ids    map[uuid.UUID]bool   // the same ids
	bytes  int
	stored int
}

// loaded is an event on its way.
type loaded struct {
	id      uuid.UUID
	of      eventstore.Stream
	version uint64
	stream  string // the subject of the stream
	subject string // of this version
	body    []byte
}

func newIntake(s *Store) *intake {
	return &intake{store: s, places: make(map[string]uuid.UUID), ids: make(map[uuid.UUID]bool)}
}

// add takes an event in, and stores what was gathered if that is enough.
func (l *intake) add(ctx context.Context, e *event.Event) error {
	if err := l.store.usable(ctx); err != nil {
		return err
	}
	one, err := l.store.pack(e)
	if err != nil {
		return err
	}
	id, taken := l.places[one.subject]
	if taken && id == one.id {
		return nil
	}
	if taken || l.ids[one.id] || len(l.events) == importMost || l.bytes+len(one.body) > importBytes {
		if err := l.flush(ctx); err != nil {
			return err
		}
	}
	l.events = append(l.events, one)
	l.places[one.subject], l.ids[one.id] = one.id, true
	l.bytes += len(one.body)
	return nil
}

// pack encodes an event, which must be fit to be stored.
func (s *Store) pack(e *event.Event) (loaded, error) {
	if err := eventstore.CheckImport(s.limits, e); err != nil {
		return loaded{}, err
	}
	of := eventstore.StreamOf(*e)
	if err := s.checkTenant(of.TenantID); err != nil {
		return loaded{}, err
	}
	metadata, err := event.EncodeMetadata(e.Metadata)
	if err != nil {
		return loaded{}, err
	}
	recordedAt := event.Time(e.RecordedAt)
	if e.RecordedAt.IsZero() {
		recordedAt = s.now()
	}
	stream := s.subjects.stream(of)
	return loaded{
		id: e.ID, of: of, version: e.AggregateVersion,
		stream: stream, subject: versionOf(stream, e.AggregateVersion), body: encodeEnvelope(e, metadata, recordedAt),
	}, nil
}

// flush stores what was gathered, however often somebody else comes in between.
func (l *intake) flush(ctx context.Context) error {
	events := l.events
	l.events, l.bytes = nil, 0
	clear(l.places)
	clear(l.ids)
	tries := newTries()
	look := l.store.glance
	unheard := 0 // of how many events it is not known whether the last attempt has stored them
	for len(events) > 0 {
		if err := l.store.usable(ctx); err != nil {
			return err
		}
		missing, err := l.missing(ctx, events, look)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			l.stored += unheard
			return nil
		}
		unheard = 0
		position, what, err := l.store.publish(ctx, messagesOf(missing))
		switch what {
		case answerStored:
			l.store.imported(missing, position)
			l.stored += len(missing)
			return nil
		case answerRefused:
			return permanent(l.store.stream, err)
		case answerTaken:
			if err := l.store.elsewhere(ctx, missing); err != nil {
				return err
			}
		case answerUnknown:
			unheard = len(missing)
		case answerNothing:
		}
		look = l.store.gaze
		if !tries.more(ctx) {
			return unavailable("import into stream "+l.store.stream, err)
		}
	}
	return nil
}

// missing returns those of events that are not stored, of which each continues
// its stream.
func (l *intake) missing(ctx context.Context, events []loaded, look func(context.Context, []loaded) (map[string]stored, error)) ([]loaded, error) {
	have, err := look(ctx, events)
	if err != nil {
		return nil, err
	}
	var missing []loaded
	reached := make(map[string]uint64) // the versions that the streams are at with what is missing
	for _, e := range events {
		there, found := have[e.subject]
		switch {
		case found && there.ID != e.id:
			return nil, l.store.notNext(ctx, e)
		case found:
			l.store.know(e.stream, e.version)
			continue
		case e.version > 1 && reached[e.stream] != e.version-1:
			ok, err := l.store.exists(ctx, e.stream, e.version-1)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, l.store.notNext(ctx, e)
			}
		}
		reached[e.stream] = e.version
		missing = append(missing, e)
	}
	return missing, nil
}

// glance asks any replica which of events, or others in their places, are stored.
// One that is behind knows less than there is: then the batch is refused, and the
// leader is asked.
func (s *Store) glance(ctx context.Context, events []loaded) (map[string]stored, error) {
	subjects := make([]string, len(events))
	for i, e := range events {
		subjects[i] = e.subject
	}
	messages, err := s.page(ctx, pageQuestion{LastOf: subjects})
	if err != nil {
		return nil, err
	}
	have := make(map[string]stored, len(messages))
	for _, m := range messages {
		if have[m.subject], err = s.decode(m); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// gaze asks the leader the same, which takes a question for each.
func (s *Store) gaze(ctx context.Context, events []loaded) (map[string]stored, error) {
	have := make(map[string]stored)
	for _, e := range events {
		there, err := s.event(ctx, question{Last: e.subject})
		if err != nil {
			return nil, err
		}
		if there != nil {
			have[e.subject] = *there
		}
	}
	return have, nil
}

// notNext says what is wrong with an event that does not continue its stream: it
// is stored elsewhere, leaves a hole, or wants a place that is taken.
func (s *Store) notNext(ctx context.Context, e loaded) error {
	if err := s.elsewhere(ctx, []loaded{e}); err != nil {
		return err
	}
	actual, err := s.lastVersion(ctx, e.stream)
	if err != nil {
		return err
	}
	return &eventstore.ConflictError{Stream: e.of, Expected: eventstore.Exact(e.version - 1), Actual: actual}
}

// elsewhere refuses the first of events whose id the server knows from another
// place.
func (s *Store) elsewhere(ctx context.Context, events []loaded) error {
	for _, e := range events {
		seq, err := s.placeOf(ctx, e.id)
		if err != nil {
			return err
		}
		if seq == 0 {
			continue
		}
		there, err := s.event(ctx, question{Seq: seq})
		if err != nil {
			return err
		}
		if there != nil && (eventstore.StreamOf(there.Event) != e.of || there.AggregateVersion != e.version) {
			return &eventstore.DuplicateEventError{EventID: e.id, Stream: e.of}
		}
	}
	return nil
}

// imported takes note of what was stored, up to a position.
func (s *Store) imported(events []loaded, position uint64) {
	for _, e := range events {
		s.know(e.stream, e.version)
	}
	s.saw(position)
	s.wakeups.wake()
	s.news.tell()
}

// messagesOf returns the messages of events, of which each may be stored only
// where there is none.
func messagesOf(events []loaded) []*nats.Msg {
	const headers = 6
	messages := make([]*nats.Msg, len(events))
	for i, e := range events {
		header := make(nats.Header, headers)
		header[natsjs.MsgIDHeader] = []string{e.id.String()}
		header[expectedHeader] = []string{notThere}
		messages[i] = &nats.Msg{Subject: e.subject, Header: header, Data: e.body}
	}
	return messages
}
