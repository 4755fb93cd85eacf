package jetstream

import (
	"context"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// Received is a message as a consumer got it.
type Received struct {
	Event      CloudEvent
	Subject    string
	Sequence   uint64    // in the stream: the order
	StoredAt   time.Time // by the server's clock
	Deliveries int       // how often the server has delivered it, this time included
	Data       []byte    // the body as it came
}

// Handler does what a message calls for. When it returns nil the message is
// acknowledged. An error that [projection.AsPoison] has marked is not tried again.
type Handler func(ctx context.Context, r Received) error

// HandleActivity returns a handler for ActivityRecorded messages. A message of
// another type, or of a major version that is not known, is refused with an
// [*UnknownTypeError] and is poison.
func HandleActivity(f func(ctx context.Context, a Activity, r Received) error) Handler {
	return func(ctx context.Context, r Received) error {
		a, err := DecodeActivity(r.Event)
		if err != nil {
			return err // it says what was decoded.
		}
		return f(ctx, a, r)
	}
}

// Poisoned is a message that could not be handled, and why.
type Poisoned struct {
	Received

	Attempts int // how often it was tried, in this process
	Err      error
}

// received returns a message without its body's meaning.
func received(m natsjs.Msg) (Received, error) {
	meta, err := m.Metadata()
	if err != nil {
		return Received{}, err // the client says so.
	}
	return Received{
		Subject: m.Subject(), Sequence: meta.Sequence.Stream, StoredAt: meta.Timestamp,
		Deliveries: int(min(meta.NumDelivered, 1<<31-1)),
		Data:       m.Data(),
	}, nil
}
