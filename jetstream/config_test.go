package jetstream_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
	"github.com/evident-go/evident/projection"
)

// fieldOf returns the field that an error names.
func fieldOf(t *testing.T, err error) string {
	t.Helper()
	var invalid *event.InvalidError
	var large *event.TooLargeError
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &invalid):
		return invalid.Field
	case errors.As(err, &large):
		return large.Field
	default:
		require.NoError(t, err)
		return ""
	}
}

func TestAPublisherNamesTheFieldAtFault(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	for field, configs := range map[string][]jetstream.PublisherConfig{
		"stream":           {{Stream: "a.b"}, {Stream: "a b"}, {Stream: strings.Repeat("x", 33)}},
		"prefix":           {{Prefix: "a..b"}, {Prefix: ".a"}, {Prefix: "a.*"}, {Prefix: "$JS.x"}, {Prefix: "a "}, {Prefix: strings.Repeat("x", 65)}},
		"replicas":         {{Replicas: -1}, {Replicas: 6}},
		"duplicate_window": {{DuplicateWindow: -1}, {DuplicateWindow: time.Millisecond}},
		"max_age":          {{MaxAge: -1}, {MaxAge: time.Minute}},
		"publish_timeout":  {{PublishTimeout: -1}},
		"window":           {{Window: -1}},
		"name":             {{Name: "a\nb"}},
		"version":          {{Version: -1}},
		"types":            {{Types: []string{""}}},
		"source":           {{Source: "a b"}},
		"type_prefix":      {{TypePrefix: "é"}},
		"schema_url":       {{SchemaURL: "a b"}},
		"full":             {{Full: true, Map: func(event.Event) (jetstream.Message, bool, error) { return jetstream.Message{}, false, nil }}},
	} {
		for _, config := range configs {
			_, err := jetstream.NewPublisher(js, config)
			assert.Equal(t, field, fieldOf(t, err), "%+v", config)
			assert.Equal(t, field, fieldOf(t, jetstream.ProvisionStream(t.Context(), js, config)))
		}
	}
	_, err := jetstream.NewPublisher(nil, jetstream.PublisherConfig{})
	assert.Equal(t, "js", fieldOf(t, err))
}

func TestAConsumerNamesTheFieldAtFault(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream(t)
	for field, configs := range map[string][]jetstream.ConsumerConfig{
		"durable":    {{}, {Durable: "a.b"}, {Durable: strings.Repeat("x", 33)}},
		"stream":     {{Durable: "d", Stream: "a.b"}},
		"subjects":   {{Durable: "d", Subjects: []string{""}}, {Durable: "d", Subjects: []string{"a b"}}},
		"ack_wait":   {{Durable: "d", AckWait: time.Millisecond}},
		"retry":      {{Durable: "d", Retry: projection.Retry{MaxAttempts: -1}}},
		"retry.most": {{Durable: "d", Retry: projection.Retry{First: 2, Most: 1}}},
	} {
		for _, config := range configs {
			_, err := jetstream.NewConsumer(js, config)
			assert.Equal(t, field, fieldOf(t, err), "%+v", config)
		}
	}
	_, err := jetstream.NewConsumer(nil, jetstream.ConsumerConfig{Durable: "d"})
	assert.Equal(t, "js", fieldOf(t, err))
	consumer, err := jetstream.NewConsumer(js, jetstream.ConsumerConfig{Durable: "d", Retry: projection.Retry{Most: 1}})
	require.NoError(t, err)
	assert.Equal(t, "handle", fieldOf(t, consumer.Run(t.Context(), nil)))
	_, err = jetstream.NewWindow(0)
	assert.Equal(t, "size", fieldOf(t, err))
}
