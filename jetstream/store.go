package jetstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

var _ projection.Store = (*Store)(nil)

// Store is an event store on one stream of JetStream, and beside it a key-value
// bucket with everything else that a program needs: checkpoints, leases, dead
// letters, what is decided about projections, and snapshots. Both are on one
// server or on several that keep replicas. Its methods are safe for concurrent use, and any
// number of processes may open it at a time.
//
// It keeps every promise of [eventstore.Store], with these differences to a
// database:
//
//   - Durable is what the servers say is durable. By default they acknowledge
//     before the disk has confirmed, and a power cut can lose what was
//     acknowledged within the last two minutes. No client can see that setting.
//     Set "sync_interval: always" and keep three replicas, see [Provision].
//   - An event id is known wherever it is sent within [Config.DuplicateWindow].
//     After that it is known at its version: an append with an exact expected
//     version may be sent again for ever, one without may be stored again.
//   - The loss of a server that leads the stream stops appends and reads for 4 to
//     9 seconds, until another one leads. Calls wait for that; give them more time
//     than 10 seconds, or expect [eventstore.ErrOutcomeUnknown].
//   - RecordedAt is the clock of the process that appends, since the server gives
//     the messages of one append different times. It never goes back within a
//     process; order is by position only.
//   - [Store.Begin] begins a transaction over checkpoints, dead letters and
//     decisions, and over nothing else: not over events, nor over what handlers
//     do. So projections take effect at least once.
//
// Reads ask the leader where the stream ends, and so see whatever was
// acknowledged before, by whichever process; what they read up to there may come
// from any replica.
//
// A leader that the other servers do not reach, or that stood still, takes itself
// for the leader for up to 20 seconds more. Who is connected to it reads meanwhile
// what was there at first, though never less than the same store has seen, and a
// conflict may name a version that was the last one then. So may anybody for about
// a second, when the others reach it again. Whether there is a conflict is right
// all the same: nothing is stored unless most servers agree, and that a version is
// missing is not believed of a leader that they do not follow, which takes more
// than a second to find out when a server is missing.
//
// An expectation on a stream that an append does not write may take a position,
// so that positions have gaps.
type Store struct {
	config   Config
	js       natsjs.JetStream
	conn     *nats.Conn
	stream   string
	subjects subjects
	api      api
	id       uuid.UUID
	limits   eventstore.Limits
	log      *zap.Logger

	replicated bool // whether there are servers that have to agree

	seen     atomic.Uint64              // the highest position known to be stored
	clock    atomic.Int64               // the last recorded-at, in microseconds; it never goes back
	versions *lru.Cache[string, uint64] // a version that each stream has, by the stream's subject
	progress *progress

	wakeups *wakeups
	news    *news
	replies *replies
	closing chan struct{} // closed with the store
	close   func()
}

// api are the subjects on which the server is asked.
type api struct {
	leader string // for a message, answered by the leader
	direct string // for messages, answered by any replica
	forget string // to delete a consumer, whose name follows
}

func apiOf(options natsjs.JetStreamOptions, stream string) api {
	prefix := apiPrefix(options)
	return api{leader: prefix + "STREAM.MSG.GET." + stream, direct: prefix + "DIRECT.GET." + stream, forget: prefix + "CONSUMER.DELETE." + stream + "."}
}

// cachedVersions is of how many streams a store remembers a version, which takes
// some 200 bytes each.
const cachedVersions = 1 << 16

// Open opens the store that [Provision] has made, with the same config. It
// changes nothing on the server. The connection stays the caller's: Close does
// not close it. Let it reconnect for ever (nats.MaxReconnects(-1)).
//
// With the default prefix, and JetStream's API at its usual place, the account
// needs these rights: to publish on evident.e.>, evident.news,
// $JS.API.STREAM.INFO.EVIDENT, $JS.API.STREAM.MSG.GET.EVIDENT,
// $JS.API.DIRECT.GET.EVIDENT, $JS.API.CONSUMER.CREATE.EVIDENT.>,
// $JS.API.CONSUMER.MSG.NEXT.EVIDENT.>, $JS.API.CONSUMER.DELETE.EVIDENT.>,
// $KV.evident_progress.>, $JS.API.STREAM.INFO.KV_evident_progress,
// $JS.API.STREAM.MSG.GET.KV_evident_progress,
// $JS.API.DIRECT.GET.KV_evident_progress and
// $JS.API.STREAM.PURGE.KV_evident_progress; to subscribe to evident.news and
// _INBOX.>.
//
// Errors: [*event.InvalidError] for config; [*StreamError] if there is no such
// stream, if it could lose events, or if the server is too old;
// [*UnavailableError], which is worth another try, when the server does not
// answer.
func Open(ctx context.Context, js natsjs.JetStream, config Config) (*Store, error) {
	if js == nil {
		return nil, &event.InvalidError{Field: "js", Reason: "must be set"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	progress := config.progress()
	config = config.withDefaults()
	have, err := findEvents(ctx, js, config)
	if err != nil {
		return nil, err
	}
	limits, err := limitsOf(js.Conn().MaxPayload(), have)
	if err != nil {
		return nil, err
	}
	known, err := lru.New[string, uint64](cachedVersions)
	if err != nil {
		return nil, err
	}
	s := &Store{
		config: config, js: js, conn: js.Conn(), stream: have.Name, subjects: subjectsOf(config.Prefix), api: apiOf(js.Options(), have.Name),
		id: idOf(have), replicated: have.Replicas > 1, limits: limits, log: config.Logger.With(zap.String("stream", have.Name)),
		versions: known, wakeups: newWakeups(), closing: make(chan struct{}),
	}
	if s.progress, err = openProgress(ctx, js, progress); err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		return nil, unavailable("listen on "+s.subjects.news, err)
	}
	return s, nil
}

// listen begins to hear answers and news, until the store is closed.
func (s *Store) listen() (err error) {
	if s.replies, err = newReplies(s.conn); err != nil {
		return err
	}
	if s.news, err = listen(s.conn, s.subjects.news, s.wakeups.wake); err != nil {
		s.replies.stop()
		return err
	}
	s.close = sync.OnceFunc(func() {
		close(s.closing)
		s.progress.close()
		s.news.stop()
		s.replies.stop()
	})
	return nil
}

// limitsOf returns what fits into a message, besides everything that is around a
// payload.
func limitsOf(maxPayload int64, have natsjs.StreamConfig) (eventstore.Limits, error) {
	const around = event.MaxMetadataBytes + envelopeBytes
	limits := eventstore.DefaultLimits()
	if have.MaxMsgSize > 0 {
		maxPayload = min(maxPayload, int64(have.MaxMsgSize))
	}
	if maxPayload <= around {
		return limits, &StreamError{
			Stream: have.Name, Setting: "max_payload", Have: byteCount(maxPayload), Want: "more than " + byteCount(around),
			Reason: "there would be no room for a payload beside an event's metadata; the default is 1 MiB",
		}
	}
	limits.PayloadBytes = min(limits.PayloadBytes, int(maxPayload-around))
	return limits, nil
}

// ID implements [eventstore.Store]. It is given when the stream is created.
func (s *Store) ID() uuid.UUID { return s.id }

// Limits implements [eventstore.Store]. A payload and what is around it have to
// fit into one message: with the default max_payload of 1 MiB a payload may have
// 956 KiB.
func (s *Store) Limits() eventstore.Limits { return s.limits }

// Close implements [eventstore.Store]. It does not close the connection.
func (s *Store) Close() error {
	s.close()
	return nil
}

// usable returns why a call cannot go on: the store is closed, or ctx ended.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closing:
		return eventstore.ErrClosed
	default:
		return ctx.Err() // the caller's own error, as it is.
	}
}

// now returns the time of an append. It never goes back.
func (s *Store) now() time.Time {
	now := s.config.Now().UnixMicro()
	for {
		last := s.clock.Load()
		if now <= last {
			return time.UnixMicro(last).UTC()
		}
		if s.clock.CompareAndSwap(last, now) {
			return time.UnixMicro(now).UTC()
		}
	}
}

// saw notes that there is a position, so that nobody is told later that the
// store ends before it.
func (s *Store) saw(position uint64) {
	for {
		known := s.seen.Load()
		if position <= known || s.seen.CompareAndSwap(known, position) {
			return
		}
	}
}
