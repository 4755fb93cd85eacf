package jetstream

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
)

// keyStoreID is where a stream's metadata has the store's id.
const keyStoreID = "evident-store-id"

// Provision creates what the store that config describes is kept in, or checks
// what is there. It changes nothing about a stream that exists. It is safe to
// call from several processes at once. [Open] needs no right to create anything.
//
// Events are kept in files, in as many replicas as config says, for ever: there
// are no limits that would drop any, and nothing can be deleted or purged. Only
// who may delete the whole stream can remove events; take that right away, in the
// account's permissions, from the programs that use the store.
//
// What an acknowledgement is worth is a setting of the server's that no client
// can see, and by default it comes before the disk has confirmed: a power cut of
// one server, or of all of them at once, can lose what was acknowledged within
// the last two minutes. In production set "sync_interval: always" in every
// server's configuration, and Replicas to 3.
//
// Errors: [*event.InvalidError] for config; [*StreamError] for a stream that is
// set up otherwise, or cannot be set up, and for a server that is too old;
// [*UnavailableError], which is worth another try, when the server does not
// answer.
func Provision(ctx context.Context, js natsjs.JetStream, config Config) error {
	if js == nil {
		return &event.InvalidError{Field: "js", Reason: "must be set"}
	}
	if err := config.Validate(); err != nil {
		return err
	}
	if err := provisionEvents(ctx, js, config.withDefaults()); err != nil {
		return err
	}
	return provisionProgress(ctx, js, config.progress())
}

// provisionEvents creates the stream of events, or checks it.
func provisionEvents(ctx context.Context, js natsjs.JetStream, config Config) error {
	_, err := findEvents(ctx, js, config)
	if !errors.Is(err, natsjs.ErrStreamNotFound) {
		return err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	if err := createStream(ctx, js, eventsOf(config, id)); err != nil {
		return err
	}
	_, err = findEvents(ctx, js, config)
	return err
}

func eventsOf(c Config, id uuid.UUID) natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name: c.stream(), Subjects: []string{subjectsOf(c.Prefix).all()}, Description: "events, as kept by evident",
		Storage: natsjs.FileStorage, Replicas: c.Replicas,
		Retention: natsjs.LimitsPolicy, Discard: natsjs.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		Duplicates: c.DuplicateWindow, DenyDelete: true, DenyPurge: true,
		AllowDirect: true, AllowAtomicPublish: true,
		Metadata: map[string]string{keyStoreID: id.String()},
	}
}

// findEvents returns what is known of the stream of events, if it is there and
// keeps what it is given.
func findEvents(ctx context.Context, js natsjs.JetStream, config Config) (natsjs.StreamConfig, error) {
	name := config.stream()
	doing := "look at stream " + name
	if !js.Conn().IsConnected() {
		return natsjs.StreamConfig{}, unavailable(doing, nats.ErrDisconnected)
	}
	if version := js.Conn().ConnectedServerVersion(); isTooOld(version) {
		return natsjs.StreamConfig{}, &StreamError{Stream: name, Setting: "server version", Have: version, Want: "at least " + leastServer, Reason: "older servers store the events of one append one by one"}
	}
	limited, cancel := context.WithTimeout(ctx, config.PublishTimeout)
	defer cancel()
	stream, err := js.Stream(limited, name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return natsjs.StreamConfig{}, errors.Join(&StreamError{Stream: name, Setting: "name", Have: "missing", Want: "there", Reason: "create it with jetstream.Provision"}, err)
	}
	if err != nil {
		return natsjs.StreamConfig{}, streamAnswer(ctx, name, doing, err)
	}
	have := stream.CachedInfo().Config
	return have, faultOfEvents(have, config)
}

// faultOfEvents returns the first setting by which a stream could lose events,
// take them twice or take an append in part, as a [*StreamError], or nil.
func faultOfEvents(have natsjs.StreamConfig, config Config) error {
	like := PublisherConfig{Stream: have.Name, Prefix: subjectsOf(config.Prefix).events, Replicas: config.Replicas, DuplicateWindow: config.DuplicateWindow}
	if err := faultOf(have, like); err != nil {
		return err
	}
	return firstFault(have.Name, []fault{
		{"allow_atomic", have.AllowAtomicPublish, have.AllowAtomicPublish, true, "an append would be stored in part; a server that is too old says so too"},
		{"allow_direct", have.AllowDirect, have.AllowDirect, true, "versions could not be read"},
		{"sources", len(have.Sources) == 0, "set", "not set", "messages would come in that nobody has appended"},
		{"subjects", len(have.Subjects) == 1, strings.Join(have.Subjects, ", "), subjectsOf(config.Prefix).all(), "messages would come in that are no events"},
		{"metadata", idOf(have) != uuid.Nil, "without " + keyStoreID, keyStoreID, "positions are worth nothing without the store's id; create the stream with jetstream.Provision"},
	})
}

// idOf returns the store's id, or the zero one if a stream has none.
func idOf(have natsjs.StreamConfig) uuid.UUID {
	id, err := uuid.Parse(have.Metadata[keyStoreID])
	if err != nil {
		return uuid.Nil
	}
	return id
}

// leastServer is the first server whose atomic batches know ids again.
const leastServer = "2.12.1"

// isTooOld reports whether a server's version is below [leastServer]. What is
// no version is taken to be new: the stream's settings decide.
func isTooOld(version string) bool {
	have, ok := numbers(version)
	least, _ := numbers(leastServer)
	for i := range least {
		if !ok || have[i] != least[i] {
			return ok && have[i] < least[i]
		}
	}
	return false
}

func numbers(version string) (n [3]int, ok bool) {
	version, _, _ = strings.Cut(version, "-")
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) != len(n) {
		return n, false
	}
	for i, part := range parts {
		var err error
		if n[i], err = strconv.Atoi(part); err != nil {
			return n, false
		}
	}
	return n, true
}
