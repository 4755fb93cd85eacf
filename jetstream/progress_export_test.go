package jetstream

import (
	"context"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
)

// Progress is what the tests know of progress.
type Progress interface {
	projection.Progress
	Snapshots() aggregate.SnapshotStore
	Close()
}

// Close is close.
func (p *progress) Close() { p.close() }

// ProgressConfig is progressConfig.
type ProgressConfig struct {
	Prefix   string
	Replicas int
	Timeout  time.Duration
	Now      func() time.Time
}

func (c ProgressConfig) config() progressConfig {
	if c.Timeout == 0 {
		c.Timeout = time.Second
	}
	return progressConfig{prefix: c.Prefix, replicas: c.Replicas, timeout: c.Timeout, now: c.Now}
}

// ProvisionProgress is provisionProgress.
func ProvisionProgress(ctx context.Context, js natsjs.JetStream, c ProgressConfig) error {
	return provisionProgress(ctx, js, c.config())
}

// OpenProgress is openProgress.
func OpenProgress(ctx context.Context, js natsjs.JetStream, c ProgressConfig) (Progress, error) {
	p, err := openProgress(ctx, js, c.config())
	if err != nil {
		return nil, err
	}
	return p, nil
}

// KeyPart is keyPart.
var KeyPart = keyPart

// ProgressStream returns the stream that is provisioned.
func ProgressStream(c ProgressConfig) natsjs.StreamConfig { return progressStream(c.config()) }

// EveryLease returns all leases, also those that have ended.
func EveryLease(ctx context.Context, s *Store) (list []lease.Lease, err error) {
	err = s.progress.look(ctx, func(ctx context.Context, d *draft) error {
		all, err := listValues[leaseValue](ctx, d, below(leaseKeys))
		list = nil
		for _, l := range all {
			list = append(list, l.lease())
		}
		return err
	})
	return list, err
}
