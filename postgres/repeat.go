package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// place is where an event is stored.
type place struct {
	id         uuid.UUID
	stream     eventstore.Stream
	version    uint64
	position   uint64
	recordedAt time.Time
}

// repeat answers an append that was sent before as it was answered then: all
// its events are stored where it wants them. Expectations on streams that it
// does not write held at that time and are not judged again. If some events are
// stored and the rest is not, or elsewhere, refusal is a
// [*eventstore.DuplicateEventError]; if none is, the result is zero.
func (s *Store) repeat(ctx context.Context, q querier, r *request) (result eventstore.Result, refusal, err error) {
	places, err := s.places(ctx, q, r.ids())
	if err != nil || len(places) == 0 {
		return eventstore.Result{}, nil, err
	}
	result.Versions = make([]uint64, len(r.targets))
	for i := range r.targets {
		t := &r.targets[i]
		for n := range t.Events {
			p, stored := places[t.Events[n].ID]
			if !stored {
				return eventstore.Result{}, firstStored(r, places), nil
			}
			if p.stream != t.Stream || (n == 0 && !t.Expected.Holds(p.version-1)) || (n > 0 && p.version != result.Versions[i]+1) {
				return eventstore.Result{}, &eventstore.DuplicateEventError{EventID: p.id, Stream: t.Stream}, nil
			}
			result.Versions[i] = p.version
			if p.position > result.Position {
				result.Position, result.RecordedAt = p.position, p.recordedAt
			}
		}
	}
	return result, nil, nil
}

// firstStored names the first event of an append that is stored.
func firstStored(r *request, places map[uuid.UUID]place) error {
	for i := range r.targets {
		for n := range r.targets[i].Events {
			if p, stored := places[r.targets[i].Events[n].ID]; stored {
				return &eventstore.DuplicateEventError{EventID: p.id, Stream: r.targets[i].Stream}
			}
		}
	}
	return nil
}

// ids returns the ids of an append's events, in the form that pgx takes without
// a detour for each.
func (r *request) ids() [][16]byte {
	ids := make([][16]byte, 0, r.events)
	for i := range r.targets {
		for n := range r.targets[i].Events {
			ids = append(ids, r.targets[i].Events[n].ID)
		}
	}
	return ids
}

// places returns where events are stored, those that are.
func (s *Store) places(ctx context.Context, q querier, ids [][16]byte) (map[uuid.UUID]place, error) {
	rows, err := q.Query(ctx, s.sql(
		"SELECT event_id, aggregate_type, aggregate_id, tenant_id, aggregate_version, position, recorded_at FROM evident.events WHERE event_id = ANY ($1)"), ids)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanPlace)
	places := make(map[uuid.UUID]place, len(found))
	for _, p := range found {
		places[p.id] = p
	}
	return places, err
}

func scanPlace(row pgx.CollectableRow) (p place, err error) {
	var tenant string
	err = row.Scan(&p.id, &p.stream.AggregateType, &p.stream.AggregateID, &tenant, &p.version, &p.position, &p.recordedAt)
	p.stream.TenantID, p.recordedAt = event.TenantID(tenant), event.Time(p.recordedAt)
	return p, err
}
