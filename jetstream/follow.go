package jetstream

import (
	"context"
	"errors"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/evident-go/evident/internal/delay"
)

// How a consumer reads ahead, and how soon it is noticed that it is gone.
const (
	aheadMessages   = 2000
	aheadBytes      = 16 << 20
	aheadExpiry     = 5 * time.Second
	aheadHeartbeat  = 500 * time.Millisecond
	consumerForgets = 30 * time.Second // when nobody asks any more
	consumerPause   = 200 * time.Millisecond
)

// errConsumer says that messages of a consumer did not come one after the other.
var errConsumer = errors.New("a message was lost on the way")

// follow takes messages by a consumer until one at end or later has come. There
// has to be one. A consumer that is lost, or misses a message, is made again
// behind the last message that came.
func (r *reading) follow(ctx context.Context, filters []string, end uint64) error {
	idle := time.NewTimer(longest)
	defer idle.Stop()
	for before := r.low; r.low < end; before = r.low {
		err := r.followOnce(ctx, filters, end)
		if err == nil || errors.Is(err, errEnough) {
			return err
		}
		if _, more := errors.AsType[*againError](err); !more {
			return err
		}
		if err := r.store.usable(ctx); err != nil {
			return err
		}
		if r.low > before {
			idle.Reset(longest)
		}
		select {
		case <-idle.C:
			return unavailable("read stream "+r.store.stream, err)
		default:
		}
		r.store.log.Debug("consumer lost", zap.Uint64("position", r.low), zap.Error(err))
		_ = delay.For(ctx, consumerPause) // the next attempt asks ctx itself
	}
	return nil
}

func (r *reading) followOnce(ctx context.Context, filters []string, end uint64) error {
	consumer, err := r.store.consumer(ctx, filters, r.low+1)
	if err != nil {
		return err
	}
	defer r.store.forget(consumer)
	messages, err := consumer.Messages(natsjs.PullMaxMessagesWithBytesLimit(min(aheadMessages, r.ahead()), int(max(aheadBytes, 2*r.store.conn.MaxPayload()))),
		natsjs.PullExpiry(aheadExpiry), natsjs.PullHeartbeat(aheadHeartbeat))
	if err != nil {
		return again(err)
	}
	defer messages.Stop()
	until := natsjs.NextContext(ctx)
	for count := uint64(1); r.low < end; count++ {
		m, err := messages.Next(until)
		if err != nil {
			return again(err)
		}
		at, err := m.Metadata()
		if err != nil || at.Sequence.Consumer != count {
			return again(errConsumer)
		}
		if err := r.take(ctx, message{subject: m.Subject(), seq: at.Sequence.Stream, data: m.Data()}); err != nil {
			return err
		}
	}
	return nil
}

// ahead is how much it makes sense to read ahead.
func (r *reading) ahead() int {
	if r.picks() {
		return aheadMessages
	}
	return r.left
}

// consumer makes a consumer that nobody has to acknowledge anything to.
func (s *Store) consumer(ctx context.Context, filters []string, from uint64) (natsjs.Consumer, error) {
	limited, cancel := context.WithTimeout(ctx, max(counting, s.config.PublishTimeout))
	defer cancel()
	consumer, err := s.js.CreateConsumer(limited, s.stream, natsjs.ConsumerConfig{
		DeliverPolicy: natsjs.DeliverByStartSequencePolicy, OptStartSeq: from, FilterSubjects: filters,
		AckPolicy: natsjs.AckNonePolicy, MaxDeliver: 1, MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerForgets,
	})
	switch {
	case err == nil:
		return consumer, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isRefusal(err):
		return nil, streamGone(s.stream, err)
	default:
		return nil, again(err)
	}
}

// forget deletes a consumer, without waiting for it: if that is lost, the server
// forgets it by itself.
func (s *Store) forget(consumer natsjs.Consumer) {
	_ = s.conn.Publish(s.api.forget+consumer.CachedInfo().Name, nil)
}
