package aggregate_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type Created struct {
	Title   string `json:"title"`
	Content string `json:"content"`
}

func (Created) EventType() string { return "DocumentCreated" }

type Edited struct {
	Content string `json:"content"`
}

func (Edited) EventType() string { return "DocumentEdited" }

// Poisoned makes its handler fail or panic.
type Poisoned struct {
	Panic bool `json:"panic"`
}

func (Poisoned) EventType() string { return "DocumentPoisoned" }

// Unhandled has no handler anywhere.
type Unhandled struct{}

func (Unhandled) EventType() string { return "DocumentUnhandled" }

// Unencodable has a handler, but no JSON.
type Unencodable struct {
	Broken chan int `json:"broken"`
}

func (Unencodable) EventType() string { return "DocumentUnencodable" }

type State struct {
	Title, Content      string
	CreatedBy, EditedBy event.ActorID
	Edits               int
}

var (
	errNotCreated = errors.New("document does not exist")
	errPoison     = errors.New("poison")
)

var documents = aggregate.Define("Document",
	aggregate.On(func(s *State, e event.Of[Created]) {
		*s = State{Title: e.Payload.Title, Content: e.Payload.Content, CreatedBy: e.ActorID}
	}),
	aggregate.On(func(s *State, e event.Of[Edited]) {
		s.Content, s.EditedBy = e.Payload.Content, e.ActorID
		s.Edits++
	}),
	aggregate.OnErr(func(s *State, e event.Of[Poisoned]) error {
		s.Content = "half applied"
		if e.Payload.Panic {
			panic(errPoison)
		}
		return errPoison
	}),
	aggregate.On(func(*State, event.Of[Unencodable]) {}),
)

type Document struct{ aggregate.AggregateRoot[State] }

func (d *Document) Create(ctx context.Context, title string) error {
	return d.Emit(ctx, Created{Title: title})
}

func (d *Document) Edit(ctx context.Context, content string) error {
	if d.Version() == 0 {
		return errNotCreated
	}
	return d.Emit(ctx, Edited{Content: content})
}

// Filled and the states below hold references.
type Filled struct {
	Key   string `json:"key"`
	Value int    `json:"value"`
	Fail  bool   `json:"fail"`
}

func (Filled) EventType() string { return "Filled" }

func fill(items map[string]int, p Filled) error {
	items[p.Key] = p.Value
	if p.Fail {
		return errPoison
	}
	return nil
}

// Cart knows how to clone itself.
type Cart struct{ Items map[string]int }

func (c Cart) Clone() Cart { return Cart{Items: maps.Clone(c.Items)} }

var carts = aggregate.Define("Cart",
	aggregate.Initial(func(uuid.UUID) Cart { return Cart{Items: map[string]int{}} }),
	aggregate.OnErr(func(c *Cart, e event.Of[Filled]) error { return fill(c.Items, e.Payload) }),
)

type CartRoot struct{ aggregate.AggregateRoot[Cart] }

// Bag does not, but survives its encoding.
type Bag struct{ Items map[string]int }

var bags = aggregate.Define("Bag",
	aggregate.Initial(func(uuid.UUID) Bag { return Bag{Items: map[string]int{}} }),
	aggregate.OnErr(func(b *Bag, e event.Of[Filled]) error { return fill(b.Items, e.Payload) }),
)

type BagRoot struct{ aggregate.AggregateRoot[Bag] }

// Vault neither clones itself nor survives its encoding.
type Vault struct{ items map[string]int }

var vaults = aggregate.Define("Vault",
	aggregate.Initial(func(uuid.UUID) Vault { return Vault{items: map[string]int{}} }),
	aggregate.OnErr(func(v *Vault, e event.Of[Filled]) error { return fill(v.items, e.Payload) }),
)

type VaultRoot struct{ aggregate.AggregateRoot[Vault] }

func openStore(t *testing.T) *memory.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func repository(t *testing.T, store eventstore.Store, config aggregate.Config) *aggregate.Repository[Document] {
	t.Helper()
	repo, err := aggregate.NewRepositoryWith[Document](store, documents, config)
	require.NoError(t, err)
	return repo
}

// created saves a document with edits and returns its id.
func created(t *testing.T, repo *aggregate.Repository[Document], edits ...string) uuid.UUID {
	t.Helper()
	d := repo.New(event.NewID())
	require.NoError(t, d.Create(t.Context(), "Plan"))
	for _, content := range edits {
		require.NoError(t, d.Edit(t.Context(), content))
	}
	require.NoError(t, repo.Save(t.Context(), d))
	return d.ID()
}

// stream returns the identity of a document without tenant.
func stream(id uuid.UUID) eventstore.Stream {
	return eventstore.Stream{AggregateType: "Document", AggregateID: id}
}

func readAll(t *testing.T, store eventstore.Store, s eventstore.Stream) []event.Event {
	t.Helper()
	var events []event.Event
	for e, err := range store.ReadStream(t.Context(), s, eventstore.StreamQuery{}) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// appendRaw stores events that no aggregate emitted.
func appendRaw(t *testing.T, store eventstore.Store, s eventstore.Stream, events ...event.Event) {
	t.Helper()
	for i := range events {
		events[i].ID = event.NewID()
		events[i].SchemaVersion = max(events[i].SchemaVersion, 1)
		events[i].OccurredAt = time.Unix(1e9, 0)
	}
	_, err := store.Append(t.Context(), eventstore.Append{Stream: s, Events: events})
	require.NoError(t, err)
}

// fakeStore is a store whose appends and reads a test gets its hands on.
type fakeStore struct {
	eventstore.Store

	onAppend func(ctx context.Context, appends []eventstore.Append) (eventstore.Result, error)
	onRead   func(events iter.Seq2[event.Event, error]) iter.Seq2[event.Event, error]

	mu      sync.Mutex
	appends [][]eventstore.Append
	queries []eventstore.StreamQuery
}

func (s *fakeStore) Append(ctx context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	s.mu.Lock()
	s.appends = append(s.appends, appends)
	s.mu.Unlock()
	if s.onAppend != nil {
		return s.onAppend(ctx, appends)
	}
	return s.Store.Append(ctx, appends...)
}

func (s *fakeStore) ReadStream(ctx context.Context, st eventstore.Stream, query eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	s.mu.Lock()
	s.queries = append(s.queries, query)
	s.mu.Unlock()
	events := s.Store.ReadStream(ctx, st, query)
	if s.onRead != nil {
		return s.onRead(events)
	}
	return events
}

// lastQuery returns what was read last.
func (s *fakeStore) lastQuery() eventstore.StreamQuery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[len(s.queries)-1]
}

// failing returns an onAppend that fails the first times with err, before or
// after the store has stored the append, and then lets everything through.
func failing(store eventstore.Store, times int, err error, after bool) func(context.Context, []eventstore.Append) (eventstore.Result, error) {
	return func(ctx context.Context, appends []eventstore.Append) (eventstore.Result, error) {
		if times == 0 {
			return store.Append(ctx, appends...)
		}
		times--
		if after {
			if _, failure := store.Append(ctx, appends...); failure != nil {
				return eventstore.Result{}, failure
			}
		}
		return eventstore.Result{}, err
	}
}
