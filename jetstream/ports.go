package jetstream

import (
	"context"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/checkpoint"
	"github.com/evident-go/evident/dlq"
	"github.com/evident-go/evident/lease"
	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/registry"
)

// Checkpoints implements [projection.Progress].
func (s *Store) Checkpoints() checkpoint.Store { return s.progress.Checkpoints() }

// DeadLetters implements [projection.Progress].
func (s *Store) DeadLetters() dlq.Store { return s.progress.DeadLetters() }

// Leases implements [projection.Progress]. They end by the clock of the server
// that leads the bucket, whatever the clocks of processes say.
func (s *Store) Leases() lease.Store { return s.progress.Leases() }

// Registry implements [projection.Progress].
func (s *Store) Registry() registry.Store { return s.progress.Registry() }

// Snapshots returns the snapshots of aggregates.
func (s *Store) Snapshots() aggregate.SnapshotStore { return s.progress.Snapshots() }

// Begin implements [projection.Progress]. The transaction keeps what it is given
// in memory, and commits it as one batch, of at most 1,000 changes, that the
// server takes as a whole if nothing of what was read in it has changed. Errors of
// Commit: [ErrTxConflict]; [ErrUnavailable] if it is not known whether it was
// written; those of the ports; [event.ErrTooLarge] for more changes.
func (s *Store) Begin(ctx context.Context) (projection.Tx, error) { return s.progress.Begin(ctx) }
