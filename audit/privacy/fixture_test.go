package privacy_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

const acme = event.TenantID("acme")

var start = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// clock stands still until it is told otherwise.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// office is a store with everything on it.
type office struct {
	*privacy.Officer

	store *memory.Store
	log   *audit.Log
	clock *clock
	ctx   context.Context // that of the officer, officer-1 of tenant acme
}

func newOffice(tb testing.TB, changes ...func(*privacy.Config)) *office {
	tb.Helper()
	c := &clock{now: start}
	store, err := memory.Open(tb.Context(), memory.Config{Now: c.Now})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	records := audit.Replay(store, audit.Config{})
	log, err := audit.NewLog(store, records, audit.LogConfig{Now: c.Now})
	require.NoError(tb, err)
	config := privacy.Config{Pseudonyms: store.Pseudonyms(), Holds: store.Holds(), Events: store, Records: records, Log: log, Now: c.Now}
	for _, change := range changes {
		change(&config)
	}
	officer, err := privacy.NewOfficer(config)
	require.NoError(tb, err)
	return &office{Officer: officer, store: store, log: log, clock: c, ctx: event.WithActor(tb.Context(), event.User("officer-1"))}
}

// token returns the token of a person of acme.
func (o *office) token(tb testing.TB, person string) uuid.UUID {
	tb.Helper()
	token, err := o.store.Pseudonyms().TokenFor(tb.Context(), acme, person)
	require.NoError(tb, err)
	return token
}

// act records that an actor did something.
func (o *office) act(tb testing.TB, draft audit.Draft) audit.ActivityRecord {
	tb.Helper()
	if draft.Entity == (audit.EntityRef{}) {
		draft.Entity = audit.EntityRef{Type: "Order", ID: "17"}
	}
	if draft.TenantID == "" {
		draft.TenantID = acme
	}
	receipt, err := o.log.Append(tb.Context(), draft)
	require.NoError(tb, err)
	return receipt.Records[0]
}

func user(token uuid.UUID) event.ActorID { return event.User(token.String()) }

// emit stores a domain event.
func emit(tb testing.TB, store eventstore.Store, actor event.ActorID, data string, metadata event.Metadata) {
	tb.Helper()
	e := event.Event{
		ID: event.NewID(), Type: "AddressChanged", SchemaVersion: 1, ActorID: actor, OccurredAt: start, CorrelationID: uuid.New(),
		Metadata: metadata, Data: []byte(data),
	}
	_, err := store.Append(tb.Context(), eventstore.Append{
		Stream: eventstore.Stream{TenantID: acme, AggregateType: "Account", AggregateID: uuid.New()}, Events: []event.Event{e},
	})
	require.NoError(tb, err)
}

func collect[T any](tb testing.TB, items iter.Seq2[T, error]) (all []T) {
	tb.Helper()
	for item, err := range items {
		require.NoError(tb, err)
		all = append(all, item)
	}
	return all
}

func lastError[T any](items iter.Seq2[T, error]) (last error) {
	for _, err := range items {
		last = err
	}
	return last
}

// recorded returns the records of an action, oldest first.
func (o *office) recorded(tb testing.TB, action string) []audit.ActivityRecord {
	tb.Helper()
	return collect(tb, o.log.Find(tb.Context(), audit.Query{Action: action, Page: audit.Page{OldestFirst: true}}))
}

func requireInvalid(tb testing.TB, err error, field string) {
	tb.Helper()
	var invalid *event.InvalidError
	require.ErrorAs(tb, err, &invalid)
	require.Equal(tb, field, invalid.Field)
}

var errBroken = errors.New("broken")

// refusing is a log that takes nothing after some records.
type refusing struct {
	audit.Appender

	left int
}

func (r *refusing) Append(ctx context.Context, drafts ...audit.Draft) (audit.Receipt, error) {
	if r.left == 0 {
		return audit.Receipt{}, errBroken
	}
	r.left--
	return r.Appender.Append(ctx, drafts...)
}

// brokenFinder fails after some records of each answer.
type brokenFinder struct {
	audit.Finder

	after int
}

func (b brokenFinder) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		n := 0
		for record, err := range b.Finder.Find(ctx, query) {
			if n++; n > b.after {
				yield(audit.ActivityRecord{}, errBroken)
				return
			}
			if !yield(record, err) {
				return
			}
		}
	}
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("person-%d", i))
	}
	return all
}
