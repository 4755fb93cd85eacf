package audittest

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

func everyField(t promisetest.T, h LogHarness) {
	e := full(1 << 40)
	h.apply(t, e)
	want := derived(t, []event.Event{e})[0]
	found := all(t, h.Home.Find(t.Context(), audit.Query{}))
	require.Len(t, found, 1)
	assert.Empty(t, want.Changes(found[0]))
	assert.Equal(t, want, found[0])
	h.apply(t, at(1))
	oldest := audit.Query{Page: audit.Page{OldestFirst: true}}
	assert.Equal(t, []uint64{1, e.Position}, positions(t, h.Home.Find(t.Context(), oldest)))
	got, err := h.reader().Get(t.Context(), e.ID)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Equal(t, time.UTC, got.OccurredAt().Location())
}

func explicitActivity(t promisetest.T, h LogHarness) {
	e := at(1, by("user:bob"), explicit(audit.Denied))
	h.apply(t, e)
	found := all(t, h.Home.Find(t.Context(), audit.Query{Outcome: audit.Denied}))
	require.Len(t, found, 1)
	assert.Equal(t, derived(t, []event.Event{e})[0], found[0])
	assert.Equal(t, audit.EntityRef{Type: "Task", ID: "task/5", Version: 3}, found[0].Entity())
	assert.True(t, found[0].Origin().IsZero())
}

func bareEvent(t promisetest.T, h LogHarness) {
	e := at(1, func(e *event.Event) { e.ActorID, e.CorrelationID, e.Type = "", uuid.Nil, "Ticked" })
	h.apply(t, e)
	found := all(t, h.reader().ByActor(t.Context(), event.Anonymous, audit.Page{}))
	require.Len(t, found, 1)
	assert.Equal(t, derived(t, []event.Event{e})[0], found[0])
	assert.Equal(t, event.Anonymous, found[0].ActorID())
	assert.Equal(t, "anonymous triggered Ticked on Document", found[0].Description())
	assert.Nil(t, found[0].Metadata())
	assert.Empty(t, found[0].OwnerID())
}

func metadataTypes(t promisetest.T, h LogHarness) {
	m := event.Metadata{
		"int": int64(1), "whole": float64(1), "text": "1", "bool": true, "nil": nil, "large": uint64(math.MaxUint64),
		"negative": int64(math.MinInt64), "fraction": 0.1, "quotes": `"<&>"`, "unicode": "é\u0065\u0301\n", "": "empty key",
	}
	h.apply(t, at(1, with(m)))
	found := all(t, h.Home.Find(t.Context(), audit.Query{}))
	require.Len(t, found, 1)
	assert.Equal(t, m, found[0].Metadata())
}

func hugeEvent(t promisetest.T, h LogHarness) {
	m := event.Metadata{audit.KeyOwner: strings.Repeat("é", 1000), audit.KeyUserAgent: "a\nb", "list": []any{int64(1), "x"}}
	for i := range 100 {
		m["key"+strconv.Itoa(i)] = strings.Repeat("v", 600)
	}
	e := at(1, with(m), func(e *event.Event) {
		e.Type, e.AggregateType = strings.Repeat("é", 64), strings.Repeat("Ä", 64)
		e.ActorID = event.User(strings.Repeat("a", 250))
	})
	h.apply(t, e)
	found := all(t, h.Home.Find(t.Context(), audit.Query{}))
	require.Len(t, found, 1)
	assert.Equal(t, derived(t, []event.Event{e})[0], found[0])
	assert.Len(t, found[0].Metadata(), audit.MaxMetadataKeys)
	assert.Contains(t, found[0].Reduced(), "metadata")
	assert.Contains(t, found[0].Reduced(), "owner_id")
}

func usualQuestions(t promisetest.T, h LogHarness) {
	owned := with(event.Metadata{audit.KeyOwner: "user:bob"})
	h.apply(t, run(1, 4)...)
	h.apply(t, at(5, by("user:bob"), owned), at(6, owned, func(e *event.Event) {
		e.Type, e.AggregateID, e.AggregateVersion, e.CorrelationID = "DocumentEdited", id(1_000_005), 2, id(5)
	}))
	r, ctx, page := h.reader(), t.Context(), audit.Page{}
	document := audit.Aggregate("Document", id(1_000_005))
	assert.Equal(t, []uint64{6, 4, 3, 2, 1}, positions(t, r.ByActor(ctx, "user:alice", page)))
	assert.Equal(t, []uint64{6, 5}, positions(t, r.ByOwner(ctx, "user:bob", page)))
	assert.Equal(t, []uint64{6}, positions(t, r.ByAction(ctx, "document.edited", page)))
	assert.Equal(t, []uint64{6, 5}, positions(t, r.ByEntity(ctx, document, page)))
	assert.Equal(t, []uint64{6, 5}, positions(t, r.ByAggregate(ctx, id(1_000_005), page)))
	assert.Equal(t, []uint64{6, 5}, positions(t, r.ByCorrelation(ctx, id(5), page)))
	assert.Equal(t, []uint64{6, 5, 4}, positions(t, r.Recent(ctx, audit.Page{Limit: 3})))
	_, err := r.Get(ctx, id(404))
	require.ErrorIs(t, err, audit.ErrNotFound)
}

func recentIsAHundred(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 130)...)
	assert.Equal(t, down(130, 31), positions(t, h.reader().Recent(t.Context(), audit.Page{})))
	assert.Equal(t, down(130, 1), positions(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{})))
}

func appliedAgain(t promisetest.T, h LogHarness) {
	events := mixed(40)
	h.apply(t, events...)
	h.apply(t, events[10:30]...)
	h.apply(t, events...)
	h.requireLog(t, events)
}

func anotherInItsPlace(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 3)...)
	forged := at(2, by("user:mallory"))
	err := apply(t.Context(), h.Home, h.Begin, []event.Event{forged})
	require.ErrorIs(t, err, audit.ErrImmutable)
	var immutable *audit.ImmutableError
	require.ErrorAs(t, err, &immutable)
	assert.EqualValues(t, 2, immutable.Position)
	require.NotEmpty(t, immutable.Changes)
	assert.Equal(t, audit.Change{Field: "actor_id", A: "user:alice", B: "user:mallory"}, immutable.Changes[0])
	h.requireLog(t, run(1, 3))
}

func anotherPlace(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 3)...)
	moved := at(2, func(e *event.Event) { e.Position = 9 })
	require.ErrorIs(t, apply(t.Context(), h.Home, h.Begin, []event.Event{moved}), audit.ErrImmutable)
	h.requireLog(t, run(1, 3))
}

func clocksBackwards(t promisetest.T, h LogHarness) {
	for position := range uint64(20) {
		h.apply(t, at(position+1, occurred(start.Add(-time.Duration(position)*time.Hour)), func(e *event.Event) {
			e.RecordedAt = start.Add(-time.Duration(position) * time.Second)
		}))
	}
	assert.Equal(t, down(20, 1), positions(t, h.Home.Find(t.Context(), audit.Query{})))
	assert.Equal(t, down(20, 1), positions(t, h.reader().ByActor(t.Context(), "user:alice", audit.Page{})))
	assert.Equal(t, up(1, 20), positions(t, h.Home.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: true}})))
}

func lateEvent(t promisetest.T, h LogHarness) {
	h.apply(t, at(1), at(2), at(5), at(6))
	h.apply(t, at(4))
	h.apply(t, at(3))
	assert.Equal(t, down(6, 1), positions(t, h.Home.Find(t.Context(), audit.Query{})))
	h.requireLog(t, run(1, 6))
}

// eachCondition asks for each thing alone, and expects what [audit.Query.Matches] says.
func eachCondition(t promisetest.T, h LogHarness) {
	events := mixed(60)
	h.apply(t, events...)
	records := derived(t, events)
	for _, query := range conditions() {
		requireMatching(t, h, records, query)
	}
}

func combinedConditions(t promisetest.T, h LogHarness) {
	events := mixed(60)
	h.apply(t, events...)
	records := derived(t, events)
	for _, a := range conditions() {
		for _, b := range conditions() {
			both := a
			if both.ActorID == "" {
				both.ActorID = b.ActorID
			}
			if both.TenantID == "" {
				both.TenantID = b.TenantID
			}
			if both.OccurredFrom.IsZero() {
				both.OccurredFrom = b.OccurredFrom
			}
			if both.EntityID == "" {
				both.EntityID = b.EntityID
			}
			if both.Outcome == "" {
				both.Outcome = b.Outcome
			}
			if both.EventType == "" {
				both.EventType = b.EventType
			}
			both.Page = b.Page
			requireMatching(t, h, records, both)
		}
	}
}

func conditions() []audit.Query {
	return []audit.Query{
		{},
		{ID: id(30)},
		{TenantID: "acme"},
		{ActorID: "user:alice"},
		{ActorID: event.Anonymous},
		{OnBehalfOf: "user:dave"},
		{OnBehalfOf: "user:carol"},
		{OwnerID: "user:2"},
		{Action: "document.edited"},
		{Action: "task.close"},
		{EntityType: "Document"},
		{EntityType: "Task"},
		{EntityID: id(2_000_003).String()},
		{EntityID: "task/5"},
		{Outcome: audit.Success},
		{Outcome: audit.Denied},
		{EventType: "Archived"},
		{EventType: audit.RecordedType},
		{CorrelationID: id(3_000_002)},
		{OccurredFrom: start.Add(time.Hour)},
		{OccurredUntil: start},
		{Page: audit.Page{Before: 90, After: 30}},
		{Page: audit.Page{Limit: 7}},
		{Page: audit.Page{Limit: 7, After: 30, OldestFirst: true}},
	}
}

// requireMatching requires that a query finds what it means.
func requireMatching(t promisetest.T, h LogHarness, records []audit.ActivityRecord, query audit.Query) {
	t.Helper()
	want := []uint64{}
	for i, record := range records {
		if !query.OldestFirst {
			record = records[len(records)-1-i]
		}
		if query.Matches(record) && (query.Limit == 0 || len(want) < query.Limit) {
			want = append(want, record.Position())
		}
	}
	require.Equal(t, want, positions(t, h.Home.Find(t.Context(), query)), "%+v", query)
}

func nearEqualNames(t promisetest.T, h LogHarness) {
	near := []string{"Émile", "émile", "E\u0301mile", "Émile ", " Émile", "Émile%", "Émile_", "Émile\u200b"}
	for i, name := range near {
		h.apply(t, at(uint64(i+1), func(e *event.Event) {
			e.ActorID, e.TenantID, e.AggregateType = event.User(name), event.TenantID(name), name
			e.Metadata = event.Metadata{audit.KeyOwner: name}
		}))
	}
	for i, name := range near {
		want := []uint64{uint64(i + 1)}
		for _, query := range []audit.Query{
			{ActorID: event.User(name)}, {TenantID: event.TenantID(name)}, {EntityType: name}, {OwnerID: name},
		} {
			assert.Equal(t, want, positions(t, h.Home.Find(t.Context(), query)), "%+v", query)
		}
	}
	for _, query := range []audit.Query{{OwnerID: "%"}, {OwnerID: "_mile"}, {EntityType: "Émile*"}, {OwnerID: "' OR 1=1 --"}} {
		assert.Empty(t, positions(t, h.Home.Find(t.Context(), query)), "%+v", query)
	}
}

func timeRanges(t promisetest.T, h LogHarness) {
	noon := start.Add(time.Hour)
	h.apply(t,
		at(1, occurred(noon.Add(-time.Microsecond))), at(2, occurred(noon)), at(3, occurred(noon.Add(time.Microsecond))),
		at(4, occurred(time.Date(1969, 7, 20, 20, 17, 0, 0, time.UTC))))
	find := func(q audit.Query) []uint64 { return positions(t, h.Home.Find(t.Context(), q)) }
	elsewhere := noon.In(time.FixedZone("elsewhere", 3600))
	assert.Equal(t, []uint64{3, 2}, find(audit.Query{OccurredFrom: elsewhere}))
	assert.Equal(t, []uint64{4, 1}, find(audit.Query{OccurredUntil: elsewhere}))
	assert.Equal(t, []uint64{2}, find(audit.Query{OccurredFrom: noon, OccurredUntil: noon.Add(time.Microsecond)}))
	assert.Equal(t, []uint64{3}, find(audit.Query{OccurredFrom: noon.Add(time.Nanosecond)}))
	assert.Equal(t, []uint64{4, 2, 1}, find(audit.Query{OccurredUntil: noon.Add(time.Nanosecond)}))
	assert.Equal(t, []uint64{4}, find(audit.Query{OccurredUntil: time.Unix(0, 0)}))
}

func refusedQueries(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 3)...)
	for field, query := range map[string]audit.Query{
		"limit":        {Page: audit.Page{Limit: -1}},
		"actor_id":     {ActorID: "usr:alice"},
		"on_behalf_of": {OnBehalfOf: "carol"},
		"tenant_id":    {TenantID: "a\x00b"},
		"action":       {Action: "Document.Created"},
		"entity.type":  {EntityType: "a\nb"},
		"entity.id":    {EntityID: "a\x00b"},
		"outcome":      {Outcome: "Denied"},
		"event_type":   {EventType: "\xfe"},
		"owner_id":     {OwnerID: "\xff"},
	} {
		var invalid *event.InvalidError
		require.ErrorAs(t, onlyError(t, h.Home.Find(t.Context(), query)), &invalid)
		assert.Equal(t, field, invalid.Field)
	}
}

func limitsAndBounds(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 10)...)
	find := func(p audit.Page) []uint64 { return positions(t, h.Home.Find(t.Context(), audit.Query{Page: p})) }
	assert.Equal(t, down(10, 8), find(audit.Page{Limit: 3}))
	assert.Equal(t, down(10, 1), find(audit.Page{Limit: 99}))
	assert.Equal(t, down(7, 5), find(audit.Page{Before: 8, Limit: 3}))
	assert.Equal(t, down(7, 4), find(audit.Page{Before: 8, After: 3}))
	assert.Equal(t, up(4, 6), find(audit.Page{After: 3, Limit: 3, OldestFirst: true}))
	assert.Equal(t, up(1, 2), find(audit.Page{Before: 3, OldestFirst: true}))
	assert.Equal(t, down(10, 1), find(audit.Page{Before: math.MaxUint64}))
	assert.Empty(t, find(audit.Page{After: math.MaxUint64}))
	assert.Empty(t, find(audit.Page{Before: 1}))
	assert.Empty(t, find(audit.Page{Before: 5, After: 4}))
	assert.Empty(t, find(audit.Page{Before: 3, After: 8}))
	assert.Equal(t, down(4, 1), positions(t, h.reader().AsOf(4).Find(t.Context(), audit.Query{})))
	assert.Empty(t, positions(t, h.reader().AsOf(0).Find(t.Context(), audit.Query{})))
}

// pagingWhileAppending appends three records for each page of two.
func pagingWhileAppending(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 21)...)
	last, page, seen := uint64(21), audit.Page{Limit: 2}, []uint64{}
	for range 30 { // eleven pages and an empty one are enough
		found := positions(t, h.reader().ByActor(t.Context(), "user:alice", page))
		if len(found) == 0 {
			break
		}
		seen = append(seen, found...)
		page.Before = found[len(found)-1]
		h.apply(t, run(last+1, last+3)...)
		last += 3
	}
	assert.Equal(t, down(21, 1), seen)
}

func polling(t promisetest.T, h LogHarness) {
	page, seen := audit.Page{Limit: 4, OldestFirst: true}, []uint64{}
	for round := range uint64(10) {
		h.apply(t, run(3*round+1, 3*round+3)...)
		for _, position := range positions(t, h.Home.Find(t.Context(), audit.Query{Page: page})) {
			seen, page.After = append(seen, position), position
		}
	}
	assert.Equal(t, up(1, 30), seen)
}

// sequenceEnds has more records than a home is likely to fetch at once.
func sequenceEnds(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 1200)...)
	seen := uint64(0)
	for record, err := range h.Home.Find(t.Context(), audit.Query{Page: audit.Page{OldestFirst: true}}) {
		require.NoError(t, err)
		if seen == 0 {
			h.apply(t, run(1201, 1300)...)
		}
		seen++
		require.Equal(t, seen, record.Position())
	}
	assert.EqualValues(t, 1200, seen)
	assert.Equal(t, down(1300, 1), positions(t, h.Home.Find(t.Context(), audit.Query{})))
}

func breakReleases(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 50)...)
	for range 100 { // more often than a home can have connections
		for _, err := range h.Home.Find(t.Context(), audit.Query{}) {
			require.NoError(t, err)
			break
		}
	}
	h.apply(t, run(51, 60)...)
	h.reset(t)
}

func rangedAgain(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 3)...)
	seq := h.Home.Find(t.Context(), audit.Query{})
	assert.Equal(t, down(3, 1), positions(t, seq))
	h.apply(t, at(4))
	assert.Equal(t, down(4, 1), positions(t, seq))
}

func endedContext(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 1200)...)
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, onlyError(t, h.Home.Find(ended, audit.Query{})), context.Canceled)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen int
	var errs []error
	for _, err := range h.Home.Find(ctx, audit.Query{}) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		seen++
		cancel()
	}
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], context.Canceled)
	assert.Less(t, seen, 1200)
	require.Error(t, apply(ended, h.Home, h.Begin, run(1201, 1201)))
}

func readsInsideReads(t promisetest.T, h LogHarness) {
	h.apply(t, run(1, 12)...)
	var deep func(before uint64) int
	depth := 0
	deep = func(before uint64) int {
		depth++
		require.LessOrEqual(t, depth, 13)
		count := 1
		for record, err := range h.Home.Find(t.Context(), audit.Query{Page: audit.Page{Before: before, Limit: 1}}) {
			require.NoError(t, err)
			count += deep(record.Position())
		}
		return count
	}
	assert.Equal(t, 13, deep(0))
}

// readersBesideWriter finds only whole prefixes of what is appended.
func readersBesideWriter(t promisetest.T, h LogHarness) {
	for _, err := range promisetest.Race(4, func(i int) error {
		if i == 0 {
			for position := uint64(1); position <= 60; position++ {
				if err := apply(t.Context(), h.Home, h.Begin, run(position, position)); err != nil {
					return err
				}
			}
			return nil
		}
		for range 15 {
			expected := uint64(0)
			for record, err := range h.Home.Find(t.Context(), audit.Query{}) {
				if err != nil {
					return err
				}
				if expected == 0 {
					expected = record.Position()
				}
				if record.Position() != expected {
					return &event.InvalidError{Field: "position", Reason: "a record is missing"}
				}
				expected--
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
}
