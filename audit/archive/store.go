package archive

import (
	"context"
	"fmt"
	"iter"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

var _ eventstore.Store = (*Reader)(nil)

// Append implements [eventstore.Store]: it is refused with [eventstore.ErrReadOnly].
func (r *Reader) Append(context.Context, ...eventstore.Append) (eventstore.Result, error) {
	return eventstore.Result{}, fmt.Errorf("append to an archive: %w", eventstore.ErrReadOnly)
}

// ReadStream implements [eventstore.Store]. It looks through all files.
func (r *Reader) ReadStream(ctx context.Context, stream eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		if err := query.Validate(); err != nil {
			yield(event.Event{}, err)
			return
		}
		left := query.Limit
		for e, err := range r.ReadAll(ctx, eventstore.Query{
			AggregateTypes: []string{stream.AggregateType}, AggregateID: stream.AggregateID, TenantID: stream.TenantID, Direction: query.Direction,
		}) {
			if err != nil {
				yield(event.Event{}, err)
				return
			}
			if eventstore.StreamOf(e) != stream || !query.Matches(e.AggregateVersion) {
				continue
			}
			if !yield(e, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// Head implements [eventstore.Store]: it is where the archive ends.
func (r *Reader) Head(ctx context.Context) (uint64, error) { return r.manifest.Until, r.usable(ctx) }

// Wait implements [eventstore.Store]. Nothing comes any more: beyond the head it
// waits for ctx to end, or for Close.
func (r *Reader) Wait(ctx context.Context, after uint64) (uint64, error) {
	if err := r.usable(ctx); err != nil {
		return 0, err
	}
	if r.manifest.Until > after {
		return r.manifest.Until, nil
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-r.closed:
		return 0, eventstore.ErrClosed
	}
}

// ID implements [eventstore.Store]: it is that of the store which was archived.
func (r *Reader) ID() uuid.UUID { return r.manifest.StoreID }

// Limits implements [eventstore.Store].
func (r *Reader) Limits() eventstore.Limits { return eventstore.DefaultLimits() }

// Close implements [eventstore.Store]. It may be called again.
func (r *Reader) Close() error {
	r.close()
	return nil
}

func (r *Reader) usable(ctx context.Context) error {
	select {
	case <-r.closed:
		return eventstore.ErrClosed
	default:
		return ctx.Err()
	}
}
