package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

var (
	_ projection.Projection   = (*Publisher)(nil)
	_ projection.Batcher      = (*Publisher)(nil)
	_ projection.Preparer     = (*Publisher)(nil)
	_ projection.ResetChecker = (*Publisher)(nil)
	_ projection.Sequencer    = (*Publisher)(nil)
)

// Publisher is a projection that publishes a message for each event. It makes
// these promises:
//
//  1. Nothing is lost. The checkpoint moves when the server has acknowledged.
//     What is not acknowledged is sent again, for as long as it takes: a server
//     that is down, that has no leader, or that has another stream in the place
//     of this one pauses the projection, and never makes a dead letter.
//  2. Each message is stored once, as long as it is sent again within the
//     stream's duplicate window; otherwise at least once, with the same id.
//  3. Order. Of two messages with one order key, such as those about one
//     entity, the later is sent when the earlier was acknowledged. So each
//     appears on the stream for the first time in the order of the log,
//     whatever fails, and also if two processes take turns.
//  4. A message that the server can never take, such as one that is too large,
//     is its event's fault: the runner parks it, and what has the same order
//     key waits behind it.
//  5. A stream that could lose messages is refused at start: the projection
//     stops with a [*StreamError] that names the setting.
//
// It is safe for concurrent use.
type Publisher struct {
	js     natsjs.JetStream
	config PublisherConfig

	checked atomic.Bool // whether the stream was found right since the last failure
	started atomic.Bool // whether it ever was
}

// NewPublisher returns a projection that publishes through js. It does not
// touch the server: the stream is checked when a runner starts it, and is not
// created, see [ProvisionStream].
//
// The connection of js should reconnect for ever ([nats.MaxReconnects] of -1).
func NewPublisher(js natsjs.JetStream, config PublisherConfig) (*Publisher, error) {
	if js == nil {
		return nil, &event.InvalidError{Field: "js", Reason: "must be set"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Publisher{js: js, config: config.withDefaults()}, nil
}

// Name implements [projection.Projection].
func (p *Publisher) Name() string { return p.config.Name }

// Version implements [projection.Projection].
func (p *Publisher) Version() int { return p.config.Version }

// EventTypes implements [projection.Projection].
func (p *Publisher) EventTypes() []string { return slices.Clone(p.config.Types) }

// Guarantee implements [projection.Projection]: at least once.
func (p *Publisher) Guarantee() projection.Guarantee { return projection.AtLeastOnce }

// Batches implements [projection.Batcher].
func (p *Publisher) Batches() bool { return true }

// Check asks the server whether the stream is there and keeps what it is given.
// Errors: [*StreamError], [*UnavailableError].
func (p *Publisher) Check(ctx context.Context) error { return checkStream(ctx, p.js, p.config) }

// Prepare implements [projection.Preparer]: it checks the stream. A stream that
// is wrong from the start stops the projection; one that has become wrong since
// is waited for.
func (p *Publisher) Prepare(ctx context.Context, _ projection.Tx) error {
	err := p.ready(ctx)
	if errors.Is(err, ErrStream) && !p.started.Load() {
		return projection.AsPoison(err)
	}
	return err
}

// ready checks the stream, unless nothing has failed since it was right.
func (p *Publisher) ready(ctx context.Context) error {
	if p.checked.Load() {
		return nil
	}
	if err := p.Check(ctx); err != nil {
		return projection.AsInfrastructure(err)
	}
	p.checked.Store(true)
	p.started.Store(true)
	return nil
}

// Apply implements [projection.Projection]: it publishes one event.
func (p *Publisher) Apply(ctx context.Context, tx projection.Tx, e event.Event) error {
	return p.ApplyBatch(ctx, tx, []event.Event{e})
}

// ApplyBatch implements [projection.Batcher]. It returns nil when all events
// have been acknowledged.
func (p *Publisher) ApplyBatch(ctx context.Context, _ projection.Tx, events []event.Event) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	lines, err := p.lines(events)
	if err != nil {
		return err
	}
	return p.send(ctx, lines)
}

// CanReset implements [projection.ResetChecker]: what was published cannot be
// taken back.
func (p *Publisher) CanReset() error {
	return &event.DefinitionError{Subject: p.Name(), Reason: "what was published cannot be taken back; to publish everything again, raise PublisherConfig.Version"}
}

// Reset implements [projection.Projection]. It always fails, as CanReset.
func (p *Publisher) Reset(context.Context, projection.Tx) error { return p.CanReset() }

// SequenceKey implements [projection.Sequencer]: the order key of the event's
// message, also of one that is refused. What has no message, or one without a
// key, keeps the order of its aggregate.
func (p *Publisher) SequenceKey(e event.Event) string {
	m, _, _ := p.message(e) // what is wrong with it, Apply says.
	return m.Order
}

// message returns what is published for an event, with its defaults, checked.
// Its order key is always there.
func (p *Publisher) message(e event.Event) (m Message, ok bool, err error) {
	m, ok, err = p.config.Map(e)
	if !ok && err == nil {
		m = Message{}
	}
	setDefault(&m.ID, e.ID.String())
	setDefault(&m.Order, projection.DefaultSequenceKey(e))
	m.Order = bounded(m.Order)
	if err != nil || !ok {
		return m, false, err
	}
	if err := m.validate(p.config.Prefix); err != nil {
		return m, true, fmt.Errorf("message of event %s (%s): %w", e.ID, e.Type, err)
	}
	return m, true, nil
}
