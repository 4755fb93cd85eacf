package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// ProvisionStream creates the stream that config describes, or checks the one
// that is there. It changes nothing about a stream that exists. It is safe to
// call from several processes at once.
//
// The stream is kept in files, in as many replicas as config says. Nothing is
// dropped to make room, nothing can be deleted or purged, and ids are
// remembered for the duplicate window.
//
// Errors: [*event.InvalidError] for config; [*StreamError] for a stream that is
// set up otherwise, or cannot be set up; [*UnavailableError], which is worth
// another try, when the server does not answer.
//
// What an acknowledgement is worth is a setting of the server's that no client
// can see: by default it comes before the disk has confirmed. Set
// "sync_interval: always" in production, or have three replicas in different
// places.
func ProvisionStream(ctx context.Context, js natsjs.JetStream, config PublisherConfig) error {
	if err := config.Validate(); err != nil {
		return err
	}
	config = config.withDefaults()
	err := checkStream(ctx, js, config)
	if !errors.Is(err, natsjs.ErrStreamNotFound) {
		return err
	}
	if err := createStream(ctx, js, streamOf(config)); err != nil {
		return err
	}
	return checkStream(ctx, js, config)
}

// createStream creates a stream, unless another process has just done so.
func createStream(ctx context.Context, js natsjs.JetStream, want natsjs.StreamConfig) error {
	_, err := js.CreateStream(ctx, want)
	switch {
	case err == nil, errors.Is(err, natsjs.ErrStreamNameAlreadyInUse):
		return nil
	case codeOf(err) == codeSubjectsOverlap:
		return &StreamError{Stream: want.Name, Setting: "subjects", Have: "taken by another stream", Want: want.Subjects[0], Reason: "a subject belongs to one stream: " + err.Error()}
	case codeOf(err) == codeReplicas:
		return &StreamError{Stream: want.Name, Setting: "num_replicas", Have: "more than there are servers", Want: strconv.Itoa(want.Replicas), Reason: err.Error()}
	default:
		return streamAnswer(ctx, want.Name, "create stream "+want.Name, err)
	}
}

func streamOf(c PublisherConfig) natsjs.StreamConfig {
	return natsjs.StreamConfig{
		Name: c.Stream, Subjects: []string{c.Prefix + ".>"}, Description: "what happened, as published by evident",
		Storage: natsjs.FileStorage, Replicas: c.Replicas,
		Retention: natsjs.LimitsPolicy, Discard: natsjs.DiscardNew, MaxAge: c.MaxAge,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		Duplicates: c.DuplicateWindow, DenyDelete: true, DenyPurge: true,
	}
}

// checkStream returns nil if the stream is there and keeps what it is given.
func checkStream(ctx context.Context, js natsjs.JetStream, config PublisherConfig) error {
	doing := "look at stream " + config.Stream
	if !js.Conn().IsConnected() {
		return unavailable(doing, nats.ErrDisconnected)
	}
	ctx, cancel := context.WithTimeout(ctx, config.PublishTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, config.Stream)
	if err != nil {
		return streamAnswer(ctx, config.Stream, doing, err)
	}
	return faultOf(stream.CachedInfo().Config, config)
}

// streamAnswer gives the server's answer to a question about a stream a type.
func streamAnswer(ctx context.Context, stream, doing string, err error) error {
	switch code := codeOf(err); {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case errors.Is(err, natsjs.ErrStreamNotFound):
		return errors.Join(&StreamError{Stream: stream, Setting: "name", Have: "missing", Want: "there", Reason: "create it with jetstream.Provision, or ProvisionStream for a publisher's"}, err)
	case code == natsjs.JSErrCodeJetStreamNotEnabled, code == natsjs.JSErrCodeJetStreamNotEnabledForAccount:
		return errors.Join(&StreamError{Stream: stream, Setting: "jetstream", Have: "off", Want: "on", Reason: "the server, or the account, has no JetStream"}, err)
	case isRefusal(err):
		return errors.Join(&StreamError{Stream: stream, Setting: "configuration", Have: "refused by the server", Want: "accepted", Reason: err.Error()}, err)
	default:
		return unavailable(doing, err)
	}
}

// isRefusal reports whether the server understood and said no, rather than that
// it could not now.
func isRefusal(err error) bool {
	answer, ok := errors.AsType[*natsjs.APIError](err)
	if !ok || answer.Code == 408 || answer.Code == 429 {
		return false
	}
	return answer.Code >= 400 && answer.Code < 500 || answer.ErrorCode == codeInvalidConfig
}

// fault is a condition that a stream must meet.
type fault struct {
	setting    string
	ok         bool
	have, want any
	reason     string
}

// faultOf returns the first setting by which a stream could lose messages or
// take them twice, as a [*StreamError], or nil.
func faultOf(have natsjs.StreamConfig, config PublisherConfig) error {
	return firstFault(config.Stream, slices.Concat(keeps(have, config), takes(have, config)))
}

// firstFault returns the first condition that a stream does not meet, or nil.
func firstFault(stream string, faults []fault) error {
	for _, f := range faults {
		if !f.ok {
			return &StreamError{Stream: stream, Setting: f.setting, Have: fmt.Sprint(f.have), Want: fmt.Sprint(f.want), Reason: f.reason}
		}
	}
	return nil
}

// keeps says what a stream must be like to keep what it has acknowledged.
func keeps(have natsjs.StreamConfig, config PublisherConfig) []fault {
	const (
		lost    = "messages would be removed that nobody has read"
		deleted = "whoever may change the stream could remove messages"
	)
	limited := have.MaxMsgs > 0 || have.MaxBytes > 0
	return []fault{
		{"storage", have.Storage == natsjs.FileStorage, have.Storage, natsjs.FileStorage, "messages would be lost when the server stops"},
		{"persist_mode", have.PersistMode == natsjs.DefaultPersistMode, have.PersistMode, natsjs.DefaultPersistMode, "messages would be acknowledged before they are written"},
		{"no_ack", !have.NoAck, have.NoAck, false, "messages would not be acknowledged"},
		{"num_replicas", have.Replicas >= config.Replicas, have.Replicas, atLeast(config.Replicas), "messages would be lost with a server"},
		{"retention", have.Retention == natsjs.LimitsPolicy, have.Retention, natsjs.LimitsPolicy, "messages would be removed once somebody has read them"},
		{"max_age", have.MaxAge == 0 || config.MaxAge > 0 && have.MaxAge >= config.MaxAge, age(have.MaxAge), atLeast(age(config.MaxAge)), lost},
		{"discard", !limited || have.Discard == natsjs.DiscardNew, have.Discard, natsjs.DiscardNew, "with max_msgs or max_bytes " + lost},
		{"max_msgs_per_subject", have.MaxMsgsPerSubject <= 0, have.MaxMsgsPerSubject, -1, lost},
		{"deny_delete", have.DenyDelete, have.DenyDelete, true, deleted},
		{"deny_purge", have.DenyPurge, have.DenyPurge, true, deleted},
		{"allow_rollup_hdrs", !have.AllowRollup, have.AllowRollup, false, "whoever may publish could remove messages"},
		{"allow_msg_ttl", !have.AllowMsgTTL, have.AllowMsgTTL, false, "whoever may publish could let messages expire"},
	}
}

// takes says what a stream must be like to take each message once.
func takes(have natsjs.StreamConfig, config PublisherConfig) []fault {
	want := config.Prefix + ".>"
	return []fault{
		{"duplicate_window", have.Duplicates >= config.DuplicateWindow, have.Duplicates, atLeast(config.DuplicateWindow), "messages that are sent again would be stored again"},
		{"subjects", covers(have.Subjects, config.Prefix), strings.Join(have.Subjects, ", "), want, "messages would find no stream"},
		{"subject_transform", have.SubjectTransform == nil, "set", "not set", "messages would be stored under another subject"},
		{"mirror", have.Mirror == nil, "set", "not set", "nobody can publish on a mirror"},
		{"sealed", !have.Sealed, have.Sealed, false, "nobody can publish on it"},
		{"allow_msg_counter", !have.AllowMsgCounter, have.AllowMsgCounter, false, "it takes numbers only"},
	}
}

func atLeast(v any) string { return fmt.Sprintf("at least %v", v) }

func age(d time.Duration) string {
	if d == 0 {
		return "unlimited"
	}
	return d.String()
}

// covers reports whether one of subjects takes everything below prefix.
func covers(subjects []string, prefix string) bool {
	return slices.ContainsFunc(subjects, func(subject string) bool {
		above, all := strings.CutSuffix(subject, ">")
		if !all {
			return false
		}
		have := strings.Split(strings.TrimSuffix(above, "."), ".")
		want := strings.Split(prefix, ".")
		if len(have) > len(want) {
			return false
		}
		for i, part := range have {
			if part != "*" && part != want[i] {
				return false
			}
		}
		return true
	})
}
