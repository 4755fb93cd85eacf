package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// progressWindow is for how long the server knows a commit again that is sent
// once more, because its answer was lost.
const progressWindow = 2 * time.Minute

// provisionProgress creates the bucket of progress, or checks the one that is
// there. It changes nothing about one that exists. The errors are those of
// [ProvisionStream].
func provisionProgress(ctx context.Context, js natsjs.JetStream, c progressConfig) error {
	if err := validatePrefix(c.prefix); err != nil {
		return err
	}
	have, err := checkProgress(ctx, js, c)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		have, err = createProgress(ctx, js, c)
	}
	if err != nil {
		return err
	}
	return newBucket(js, c, have.Replicas).writeAbout(ctx, c.prefix)
}

func createProgress(ctx context.Context, js natsjs.JetStream, c progressConfig) (natsjs.StreamConfig, error) {
	want := progressStream(c)
	if err := createStream(ctx, js, want); err != nil {
		return want, err
	}
	return checkProgress(ctx, js, c)
}

// progressStream describes the stream behind the bucket: what a key-value store
// of one revision is, and takes several keys at once or none.
func progressStream(c progressConfig) natsjs.StreamConfig {
	bucket := bucketName(c.prefix)
	return natsjs.StreamConfig{
		Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"}, Description: "progress of projections, kept by evident",
		Storage: natsjs.FileStorage, Replicas: max(1, c.replicas),
		Retention: natsjs.LimitsPolicy, Discard: natsjs.DiscardNew, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: 1, MaxMsgSize: -1,
		Duplicates: progressWindow, DenyDelete: true, AllowRollup: true, AllowDirect: true, AllowMsgTTL: true, AllowAtomicPublish: true,
	}
}

// checkProgress returns how the stream is set up that is there, if it keeps what
// it is given.
func checkProgress(ctx context.Context, js natsjs.JetStream, c progressConfig) (natsjs.StreamConfig, error) {
	want := progressStream(c)
	doing := "look at stream " + want.Name
	if !js.Conn().IsConnected() {
		return want, unavailable(doing, nats.ErrDisconnected)
	}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	stream, err := js.Stream(limited, want.Name)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return want, errors.Join(&StreamError{Stream: want.Name, Setting: "name", Have: "missing", Want: "there", Reason: "create it with jetstream.Provision"}, err)
	}
	if err != nil {
		return want, streamAnswer(ctx, want.Name, doing, err)
	}
	have := stream.CachedInfo().Config
	return have, progressFault(have, want)
}

// progressFault returns the first setting by which the bucket could lose what it
// is given or take half of it, as a [*StreamError], or nil.
func progressFault(have, want natsjs.StreamConfig) error {
	const lost = "what projections have done would be forgotten, and done again"
	return firstFault(want.Name, []fault{
		{"allow_atomic", have.AllowAtomicPublish, have.AllowAtomicPublish, true, "a transaction would be stored in part; it needs a server of 2.12.1 or newer"},
		{"storage", have.Storage == natsjs.FileStorage, have.Storage, natsjs.FileStorage, "it would be lost when the server stops"},
		{"persist_mode", have.PersistMode == natsjs.DefaultPersistMode, have.PersistMode, natsjs.DefaultPersistMode, "it would be acknowledged before it is written"},
		{"no_ack", !have.NoAck, have.NoAck, false, "nothing would be acknowledged"},
		{"num_replicas", have.Replicas >= want.Replicas, have.Replicas, atLeast(want.Replicas), "it would be lost with a server"},
		{"retention", have.Retention == natsjs.LimitsPolicy, have.Retention, natsjs.LimitsPolicy, lost},
		{"max_age", have.MaxAge == 0, age(have.MaxAge), age(0), lost},
		{"max_msgs", have.MaxMsgs <= 0, have.MaxMsgs, -1, lost},
		{"max_bytes", have.MaxBytes <= 0 || have.Discard == natsjs.DiscardNew, have.MaxBytes, "-1, or with discard new", lost},
		{"max_msgs_per_subject", have.MaxMsgsPerSubject == 1, have.MaxMsgsPerSubject, 1, "it would keep what nobody reads"},
		{"subject_delete_marker_ttl", have.SubjectDeleteMarkerTTL == 0, have.SubjectDeleteMarkerTTL, 0, "the server would write into the bucket by itself"},
		{"deny_delete", have.DenyDelete, have.DenyDelete, true, "whoever may change the stream could remove what is there"},
		{"allow_direct", have.AllowDirect, have.AllowDirect, true, "several keys could not be read at once"},
		{"allow_msg_ttl", have.AllowMsgTTL, have.AllowMsgTTL, true, "the marks of what was removed would stay for ever"},
		{"duplicate_window", have.Duplicates >= want.Duplicates, have.Duplicates, atLeast(want.Duplicates), "what is sent again would not be known again"},
		{"subjects", covers(have.Subjects, strings.TrimSuffix(want.Subjects[0], ".>")), strings.Join(have.Subjects, ", "), want.Subjects[0], "what is written would find no stream"},
		{"subject_transform", have.SubjectTransform == nil, "set", "not set", "it would be stored under another key"},
		{"mirror", have.Mirror == nil, "set", "not set", "nobody can write to a mirror"},
		{"sealed", !have.Sealed, have.Sealed, false, "nobody can write to it"},
		{"allow_msg_counter", !have.AllowMsgCounter, have.AllowMsgCounter, false, "it takes numbers only"},
	})
}

// about is what the bucket says of itself. It is always there, so that an answer
// to a question for several keys is never empty.
type about struct {
	Prefix string `json:"prefix"`
	Format int    `json:"format"`
}

// progressFormat is how keys and values are written.
const progressFormat = 1

func (b *bucket) writeAbout(ctx context.Context, prefix string) error {
	data, err := json.Marshal(about{Prefix: prefix, Format: progressFormat})
	if err != nil {
		return err
	}
	_, err = b.commit(ctx, []keyChange{{key: aboutKey, data: data, guarded: true}})
	if errors.Is(err, errMoved) { // it is there
		return b.checkAbout(ctx, prefix)
	}
	return err
}

func (b *bucket) checkAbout(ctx context.Context, prefix string) error {
	found, err := b.get(ctx, aboutKey)
	if err != nil {
		return err
	}
	if found.data == nil {
		return &StreamError{Stream: b.stream, Setting: "key " + aboutKey, Have: "missing", Want: "there", Reason: "create it with jetstream.Provision"}
	}
	have, want := about{}, about{Prefix: prefix, Format: progressFormat}
	if err := json.Unmarshal(found.data, &have); err != nil || have != want {
		return &StreamError{Stream: b.stream, Setting: "key " + aboutKey, Have: string(found.data), Want: fmt.Sprintf("%+v", want), Reason: "it belongs to another store"}
	}
	return nil
}
