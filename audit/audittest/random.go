package audittest

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

// How many events there are, some pages of any home, and how many questions.
const (
	randomEvents  = 1300
	randomQueries = 300
)

func randomQuestions(t promisetest.T, h LogHarness) {
	t.Helper()
	events := scattered(randomEvents)
	h.apply(t, events...)
	known := derived(t, events)
	for seed := range uint64(randomQueries) { // the same in each run
		q := asking{Rand: rand.New(rand.NewPCG(seed, 1)), known: known}.query()
		told := fmt.Sprintf("seed %d: %+v", seed, q)
		require.Equal(t, page(known, q.Page, q.Matches), all(t, h.Home.Find(t.Context(), q)), told)
		use := audit.ActionQuery{Page: q.Page, TenantID: q.TenantID}
		within := audit.Query{Page: audit.Page{After: q.After, Before: q.Before}, TenantID: q.TenantID}
		want := audit.GroupActions(sequence(page(known, within.Page, within.Matches)), q.Page)
		require.Equal(t, all(t, want), all(t, h.Home.FindActions(t.Context(), use)), told)
	}
}

func randomFeeds(t promisetest.T, h ActivityHarness) {
	t.Helper()
	events := scattered(randomEvents)
	h.apply(t, events...)
	known := make([]audit.Activity, len(events))
	for i, e := range events {
		known[i] = audit.ActivityOf(e)
	}
	records := derived(t, events)
	for seed := range uint64(randomQueries) { // the same in each run
		q := asking{Rand: rand.New(rand.NewPCG(seed, 2)), known: records}.feed()
		told := fmt.Sprintf("seed %d: %+v", seed, q)
		require.Equal(t, page(known, q.Page, q.Matches), all(t, h.Home.FindActivities(t.Context(), q)), told)
		every := q.Page
		every.Limit = 0
		want := audit.CountActors(sequence(page(known, every, q.Matches)), q.Page)
		require.Equal(t, all(t, want), all(t, h.Home.FindActors(t.Context(), q)), told)
	}
}

// scattered returns events whose positions have gaps, by several actors for
// several tenants, with clocks that are days apart.
func scattered(n uint64) []event.Event {
	random := rand.New(rand.NewPCG(n, 0))
	tenants := []event.TenantID{"", "", "acme", "acme", "acme", "globex", "initech"}
	actors := []event.ActorID{"", event.Anonymous, "user:alice", "user:alice", "user:bob", "service:billing", "api:key"}
	types := []string{"DocumentCreated", "DocumentEdited", "DocumentEdited", "OrderPlaced", "KeyRotated"}
	outcomes := []audit.Outcome{audit.Success, audit.Denied, audit.Failure}
	events := make([]event.Event, 0, n)
	position := uint64(0)
	for range n {
		position += 1 + random.Uint64N(3)
		events = append(events, at(position, func(e *event.Event) {
			e.TenantID, e.ActorID = tenants[random.IntN(len(tenants))], actors[random.IntN(len(actors))]
			e.Type, e.AggregateType = types[random.IntN(len(types))], []string{"Document", "Order"}[random.IntN(2)]
			e.AggregateID, e.AggregateVersion = id(2_000_000+random.Uint64N(40)), position
			e.CorrelationID = id(3_000_000 + position/10)
			e.OccurredAt = start.Add(time.Duration(random.Int64N(int64(40 * 24 * time.Hour))).Truncate(time.Microsecond))
			if random.IntN(3) == 0 {
				e.Metadata = event.Metadata{audit.KeyOwner: fmt.Sprintf("user:%d", random.IntN(6)), audit.KeyOnBehalfOf: "user:dave"}
			}
			if random.IntN(5) == 0 {
				explicit(outcomes[random.IntN(len(outcomes))])(e)
			}
		}))
	}
	return events
}

// asking makes up queries. Conditions are taken from one record, so that several
// of them together find something.
type asking struct {
	*rand.Rand

	known []audit.ActivityRecord
}

func (a asking) query() audit.Query {
	from := a.known[a.IntN(len(a.known))]
	q := audit.Query{Page: a.page()}
	for _, condition := range []func(){
		func() { q.ID = from.ID() },
		func() { q.TenantID = from.TenantID() },
		func() { q.TenantID = from.TenantID() },
		func() { q.ActorID = from.ActorID() },
		func() { q.OnBehalfOf = from.OnBehalfOf() },
		func() { q.OwnerID = from.OwnerID() },
		func() { q.Action = from.Action() },
		func() { q.EntityType = from.Entity().Type },
		func() { q.EntityID = from.Entity().ID },
		func() { q.Outcome = from.Outcome() },
		func() { q.EventType = from.EventType() },
		func() { q.CorrelationID = from.CorrelationID() },
		func() { q.ActorID = "user:nobody" },
		func() { q.ID = uuid.Max },
	} {
		if a.IntN(7) == 0 {
			condition()
		}
	}
	q.OccurredFrom, q.OccurredUntil = a.times(from.OccurredAt())
	return q
}

func (a asking) feed() audit.ActivityQuery {
	from := a.known[a.IntN(len(a.known))]
	q := audit.ActivityQuery{Page: a.page()}
	if a.IntN(3) == 0 {
		q.TenantID = from.TenantID()
	}
	if a.IntN(3) == 0 {
		q.ActorID = from.ActorID()
	}
	q.OccurredFrom, q.OccurredUntil = a.times(from.OccurredAt())
	return q
}

func (a asking) page() audit.Page {
	p := audit.Page{OldestFirst: a.IntN(2) == 0}
	last := a.known[len(a.known)-1].Position()
	position := func() uint64 {
		return []uint64{1, a.Uint64N(last), a.Uint64N(last), last, last + 1, math.MaxInt64, math.MaxUint64}[a.IntN(7)]
	}
	if a.IntN(3) == 0 {
		p.After = position()
	}
	if a.IntN(3) == 0 {
		p.Before = position()
	}
	if a.IntN(2) == 0 {
		p.Limit = []int{1, 2, 10, 480, 512, 513, math.MaxInt}[a.IntN(7)]
	}
	return p
}

// times returns a range of times, or half of one, every second time.
func (a asking) times(around time.Time) (from, until time.Time) {
	if a.IntN(2) == 0 {
		return from, until
	}
	return a.time(around), a.time(around)
}

// time is none, the given one, one beside it, or the edge of its day in some zone.
func (a asking) time(around time.Time) time.Time {
	local := around.In(time.FixedZone("", a.IntN(24*3600)-12*3600))
	switch a.IntN(6) {
	case 0:
		return time.Time{}
	case 1:
		return local
	case 2:
		return local.Add(time.Duration(a.IntN(3) - 1))
	case 3:
		return local.Truncate(24 * time.Hour).Add(time.Duration(a.IntN(3)-1) * time.Microsecond)
	case 4:
		return time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, local.Location())
	default:
		return local.Add(time.Duration(a.Int64N(int64(96*time.Hour))) - 48*time.Hour)
	}
}

// page returns what a page of known items, oldest first, is to have.
func page[T any](known []T, p audit.Page, matches func(T) bool) (found []T) {
	for _, item := range known {
		if matches(item) {
			found = append(found, item)
		}
	}
	if !p.OldestFirst {
		slices.Reverse(found)
	}
	if p.Limit > 0 {
		found = found[:min(p.Limit, len(found))]
	}
	return found
}

func sequence[T any](items []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}
