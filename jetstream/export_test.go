package jetstream

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/evident-go/evident/eventstore"
)

// OrderOf is for tests of the order key.
var OrderOf = orderOf

// IsTooOld is for tests of servers that nobody has at hand.
var IsTooOld = isTooOld

// ConfigOf returns what a store was opened with.
func ConfigOf(s *Store) Config { return s.config }

// StreamOf returns the name of the stream that a config's events are kept in.
func StreamOf(c Config) string { return c.withDefaults().stream() }

// Deafen has a store hear no news of other processes' appends, and tell none.
func Deafen(s *Store) { s.news.stop() }

// ConnectedTo returns the URL of the server that a store is connected to now.
func ConnectedTo(s *Store) string { return s.conn.ConnectedUrl() }

// Knows reports whether the server knows an event's id.
func Knows(ctx context.Context, s *Store, id uuid.UUID) (bool, error) {
	seq, err := s.placeOf(ctx, id)
	return seq > 0, err
}

// EventSubject returns the subject of one version.
func EventSubject(prefix string, stream eventstore.Stream, version uint64) string {
	return versionOf(subjectsOf(prefix).stream(stream), version)
}

// ParseEventSubject is its reverse.
func ParseEventSubject(prefix, subject string) (eventstore.Stream, uint64, error) {
	return subjectsOf(prefix).parse(subject)
}

// Meaning says in a word what the server's answer to an append means.
func Meaning(reply *nats.Msg, err error) string {
	_, what, _ := answerOf(reply, err)
	return map[answer]string{
		answerStored: "stored", answerUnknown: "unknown", answerNothing: "nothing", answerTaken: "taken", answerRefused: "refused",
	}[what]
}

// PageOf puts the messages of a direct answer together, and says whether it is
// complete.
func PageOf(messages ...*nats.Msg) (sequences []uint64, complete, again bool) {
	var p pageReader
	for _, m := range messages {
		done, err := p.take(m)
		if err != nil {
			_, again = errors.AsType[*againError](err)
			return nil, false, again
		}
		if done {
			for _, m := range p.messages {
				sequences = append(sequences, m.seq)
			}
			return sequences, true, false
		}
	}
	return nil, false, false
}
