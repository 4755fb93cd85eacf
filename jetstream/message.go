package jetstream

import (
	"bytes"
	"encoding/json"
	"net/textproto"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/evident-go/evident/event"
)

// Message is what is published for one event.
type Message struct {
	// ID is unique among all messages of the stream. The server stores a
	// message with the same id once, as long as it remembers it, and readers
	// tell by it. Two publishers on one stream must not give the same ids: the
	// server would drop what the second one sends. Default: the event's id.
	ID string
	// Subject is where it is published: below the prefix, see [Subject].
	Subject string
	// Order is the key by which order is kept: of two messages with one key the
	// later is sent when the earlier was acknowledged. Default: the event's
	// aggregate.
	Order string
	// Header has further fields. Names that begin with "Nats-" are refused.
	Header nats.Header
	// Data is the body.
	Data []byte
}

// NewMessage returns a message that carries c, whose id is its own, with the
// header fields Content-Type and, when c has one, traceparent.
func NewMessage(subject string, c CloudEvent) (Message, error) {
	data, err := encode(c)
	if err != nil {
		return Message{}, err
	}
	m := Message{ID: c.ID, Subject: subject, Data: data, Header: nats.Header{"Content-Type": {ContentType}}}
	if trace := c.Extensions[ExtensionTraceparent]; isTraceparent(trace) {
		m.Header["traceparent"] = []string{trace}
	}
	return m, nil
}

// encode returns JSON in which "<" is "<".
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err // encoding/json names the field.
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// validate refuses what a server would refuse or misread.
func (m Message) validate(prefix string) error {
	if err := validateSubject(prefix, m.Subject); err != nil {
		return err
	}
	if m.ID == "" {
		return &event.InvalidError{Field: "message.id", Reason: "must not be empty"}
	}
	if err := event.ValidateText("message.id", m.ID, event.MaxActorBytes); err != nil {
		return err
	}
	for name, values := range m.Header {
		if err := validateHeader(name, values); err != nil {
			return err
		}
	}
	return nil
}

const maxHeaderBytes = 4096 // of one value

func validateHeader(name string, values []string) error {
	token := strings.Trim(textproto.CanonicalMIMEHeaderKey(name), "-") != "" && isVisible(name) && !strings.Contains(name, ":")
	if !token || strings.HasPrefix(strings.ToLower(name), "nats-") {
		return &event.InvalidError{Field: "message.header", Value: shown(name), Reason: `must be a name without blanks and colons that does not begin with "Nats-"`}
	}
	for _, value := range values {
		if err := event.ValidateText("message.header."+shown(name), value, maxHeaderBytes); err != nil {
			return err
		}
	}
	return nil
}

// isVisible reports whether s is printable ASCII without blanks.
func isVisible(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
