package jetstream

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// line is messages with one order key, in order.
type line []*nats.Msg

// lines returns the messages of events, those with one order key together.
func (p *Publisher) lines(events []event.Event) ([]line, error) {
	var all []line
	place := make(map[string]int)
	for _, e := range events {
		m, ok, err := p.message(e)
		if err != nil {
			return nil, projection.AsPoison(err)
		}
		if !ok {
			continue
		}
		i, known := place[m.Order]
		if !known {
			i = len(all)
			place[m.Order], all = i, append(all, nil)
		}
		all[i] = append(all[i], p.wire(m))
	}
	return all, nil
}

// wire returns a message as it is sent. The server refuses it on any other
// stream, such as one that was made in the place of ours.
func (p *Publisher) wire(m Message) *nats.Msg {
	header := maps.Clone(m.Header)
	if header == nil {
		header = make(nats.Header, 2)
	}
	header[natsjs.MsgIDHeader] = []string{m.ID}
	header[natsjs.ExpectedStreamHeader] = []string{p.config.Stream}
	return &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}
}

// send sends lines side by side, each message of a line when the one before was
// acknowledged. After an error no further message is sent; those on their way
// are waited for. The first error counts.
func (p *Publisher) send(ctx context.Context, lines []line) error {
	var (
		wg    sync.WaitGroup
		queue = make(chan line)
		stop  = make(chan struct{})
		once  sync.Once
		first error
	)
	fail := func(err error) { once.Do(func() { first = err; close(stop) }) }
	for range min(p.config.Window, len(lines)) {
		wg.Go(func() {
			for l := range queue {
				if err := p.sendLine(ctx, l, stop); err != nil {
					fail(err)
				}
			}
		})
	}
	for _, l := range lines {
		queue <- l // sendLine returns at once after stop
	}
	close(queue)
	wg.Wait()
	return first
}

func (p *Publisher) sendLine(ctx context.Context, l line, stop <-chan struct{}) error {
	for _, m := range l {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := p.publish(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// publish sends one message and waits for the acknowledgement.
func (p *Publisher) publish(ctx context.Context, m *nats.Msg) error {
	limited, cancel := context.WithTimeout(ctx, p.config.PublishTimeout)
	defer cancel()
	_, err := p.js.PublishMsg(limited, m, natsjs.WithRetryAttempts(0))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err() // the runner's own.
	}
	if tooLarge := sizeError(m, p.js.Conn().MaxPayload(), err); tooLarge != nil {
		return projection.AsPoison(fmt.Errorf("publish on %s: %w", m.Subject, tooLarge))
	}
	p.checked.Store(false)
	return projection.AsInfrastructure(unavailable("publish on "+m.Subject, err))
}
