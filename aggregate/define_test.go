package aggregate_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func onCreated(s *State, e event.Of[Created]) { s.Title = e.Payload.Title }

// Nameless has an event type that no store would take.
type Nameless struct{}

func (Nameless) EventType() string { return "" }

func TestDefinitionErrors(t *testing.T) {
	t.Parallel()
	on := aggregate.On(onCreated)
	tests := map[string]struct {
		definition *aggregate.Definition[State]
		reason     string
	}{
		"no handlers":       {aggregate.Define[State]("Document"), "has no handlers"},
		"no name":           {aggregate.Define("", on), "must not be empty"},
		"bad name":          {aggregate.Define("Docu\x00ment", on), "control character"},
		"nil part":          {aggregate.Define("Document", on, nil), "part that is nil"},
		"nil handler":       {aggregate.Define("Document", aggregate.On[State, Created](nil)), "handler is nil"},
		"nil pure handler":  {aggregate.Define("Document", aggregate.Evolve[State, Created](nil)), "handler is nil"},
		"nil codec":         {aggregate.Define("Document", on, aggregate.Codec[State](nil)), "codec that is nil"},
		"snapshot version":  {aggregate.Define("Document", on, aggregate.SnapshotVersion[State](0)), "snapshot version below 1"},
		"two handlers":      {aggregate.Define("Document", on, on), "two handlers"},
		"nameless event":    {aggregate.Define("Document", aggregate.On(func(*State, event.Of[Nameless]) {})), "must not be empty"},
		"interface payload": {aggregate.Define("Document", aggregate.On(func(*State, event.Of[event.Payload]) {})), "panics"},
		"nil definition":    {nil, "definition is nil"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.definition.Validate()
			require.ErrorIs(t, err, event.ErrDefinition)
			require.ErrorContains(t, err, test.reason)
			assert.Nil(t, test.definition.EventTypes())

			repo := aggregate.NewRepository[Document](openStore(t), test.definition)
			_, loadErr := repo.Load(t.Context(), event.NewID())
			assert.Equal(t, err, loadErr, "the first use says the same")
			assert.Equal(t, err, repo.Save(t.Context(), repo.New(event.NewID())))
			_, existsErr := repo.Exists(t.Context(), event.NewID())
			assert.Equal(t, err, existsErr)
			assert.Equal(t, err, repo.Update(t.Context(), event.NewID(), func(*Document) error { return nil }))
			require.NoError(t, repo.Close(t.Context()))
			assert.Zero(t, repo.SnapshotStats())
			_, err = aggregate.NewRepositoryWith[Document](openStore(t), test.definition, aggregate.Config{})
			assert.Equal(t, loadErr, err)
		})
	}
}

func TestDefinitionErrorSurfacesInEmit(t *testing.T) {
	t.Parallel()
	broken := aggregate.Define("Document", aggregate.On(onCreated), aggregate.On(onCreated))
	d := aggregate.New[Document](broken, event.NewID())
	var definitionError *event.DefinitionError
	require.ErrorAs(t, d.Create(t.Context(), "Plan"), &definitionError)
	assert.Equal(t, "DocumentCreated", definitionError.Subject)
	assert.ErrorIs(t, aggregate.SaveAll(t.Context(), openStore(t), d), event.ErrDefinition)
}

func TestDefinitionDescribesItself(t *testing.T) {
	t.Parallel()
	require.NoError(t, documents.Validate())
	assert.Equal(t, "Document", documents.Type())
	assert.Equal(t, event.JSON{}, documents.Codec())
	assert.Equal(t, []string{"DocumentCreated", "DocumentEdited", "DocumentPoisoned", "DocumentUnencodable"}, documents.EventTypes())
}

func TestDefinitionDecode(t *testing.T) {
	t.Parallel()
	e, err := event.New(t.Context(), Created{Title: "Plan"})
	require.NoError(t, err)
	payloads, err := documents.Decode(e)
	require.NoError(t, err)
	assert.Equal(t, []event.Payload{Created{Title: "Plan"}}, payloads)

	e.Data = []byte("{")
	_, err = documents.Decode(e)
	require.ErrorIs(t, err, event.ErrDecode)

	e.Type = "Stranger"
	_, err = documents.Decode(e)
	require.ErrorIs(t, err, aggregate.ErrUnknownEvent)

	_, err = aggregate.Define[State]("Document").Decode(e)
	assert.ErrorIs(t, err, event.ErrDefinition)
}

func TestInitialStateAndPureStyle(t *testing.T) {
	t.Parallel()
	definition := aggregate.Define("Document",
		aggregate.Initial(func(id uuid.UUID) State { return State{Title: id.String()} }),
		aggregate.Evolve(func(s State, e event.Of[Edited]) State {
			s.Content += e.Payload.Content
			return s
		}),
	)
	id := event.NewID()
	d := aggregate.New[Document](definition, id)
	assert.Equal(t, id.String(), d.State().Title)
	require.NoError(t, d.Emit(t.Context(), Edited{Content: "a"}, Edited{Content: "b"}))
	assert.Equal(t, State{Title: id.String(), Content: "ab"}, d.State())
}

// upperCodec shows that a codec is used for payloads.
type failingCodec struct{ event.JSON }

func (failingCodec) Encode(any) ([]byte, error) { return nil, errPoison }

// plainCodec hides that JSON can compile.
type plainCodec struct{ json event.JSON }

func (c plainCodec) Encode(payload any) ([]byte, error) {
	data, err := c.json.Encode(payload)
	return append([]byte(" "), data...), err
}
func (c plainCodec) Decode(data []byte, into any) error { return c.json.Decode(data, into) }

func TestCodec(t *testing.T) {
	t.Parallel()
	definition := aggregate.Define("Document", aggregate.Codec[State](plainCodec{}), aggregate.On(onCreated))
	repo := aggregate.NewRepository[Document](openStore(t), definition)
	id := created(t, repo)
	d, err := repo.Load(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, "Plan", d.State().Title)

	d = aggregate.New[Document](definition, id)
	require.NoError(t, d.Create(t.Context(), "Plan"))
	assert.JSONEq(t, ` {"title":"Plan","content":""}`, string(d.Pending()[0].Data))
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	snapshots := openStore(t).Snapshots()
	tests := map[string]struct {
		config aggregate.Config
		field  string
	}{
		"attempts":    {aggregate.Config{MaxAttempts: -1}, "max_attempts"},
		"min backoff": {aggregate.Config{MinBackoff: -1}, "min_backoff"},
		"max backoff": {aggregate.Config{MaxBackoff: -1}, "max_backoff"},
		"crossed":     {aggregate.Config{MaxBackoff: 1}, "max_backoff"},
		"cache":       {aggregate.Config{CacheSize: -1}, "cache_size"},
		"policy":      {aggregate.Config{SnapshotPolicy: aggregate.EveryEvents(1)}, "snapshots"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var invalid *event.InvalidError
			_, err := aggregate.NewRepositoryWith[Document](openStore(t), documents, test.config)
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, test.field, invalid.Field)
		})
	}
	require.NoError(t, aggregate.Config{}.Validate())
	require.NoError(t, aggregate.Config{Snapshots: snapshots, SnapshotPolicy: aggregate.EveryEvents(1)}.Validate())
}

func TestStoreIsNeeded(t *testing.T) {
	t.Parallel()
	repo := aggregate.NewRepository[Document](nil, documents)
	_, err := repo.Load(t.Context(), event.NewID())
	var invalid *event.InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, "store", invalid.Field)
	assert.ErrorIs(t, aggregate.SaveAll(t.Context(), nil, repo.New(event.NewID())), event.ErrInvalid)
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0190a9c7-0000-7000-8000-000000000001")
	s := stream(id)
	name := "Document/0190a9c7-0000-7000-8000-000000000001"
	for want, err := range map[string]error{
		name + " not found":                       &aggregate.NotFoundError{Stream: s},
		name + " has no version 7, its last is 3": &aggregate.NotFoundError{Stream: s, Version: 7, Last: 3},
		`Document has no handler for "Gone": add aggregate.On for it to the definition`:                                         &aggregate.UnknownEventError{AggregateType: "Document", EventType: "Gone"},
		name + `: event "E" at version 2 could not be applied: panic: boom`:                                                     &aggregate.ApplyError{AggregateType: "Document", AggregateID: id, EventType: "E", Version: 2, Err: &aggregate.PanicError{Value: "boom"}},
		"update of " + name + " gave up after 3 conflicts: poison":                                                              &aggregate.ContentionError{Stream: s, Attempts: 3, Err: errPoison},
		"reading " + name + ": event " + id.String() + " has version 3 where 2 had to follow":                                   &aggregate.StreamError{Stream: s, Got: s, EventID: id, Version: 3, Want: 2},
		"reading " + name + ": event " + id.String() + " belongs to Cart/" + id.String():                                        &aggregate.StreamError{Stream: s, Got: eventstore.Stream{AggregateType: "Cart", AggregateID: id}, EventID: id},
		name + ` has event "Gone" at version 2, for which the definition has no handler: add one, or aggregate.TolerateUnknown`: &aggregate.UnknownEventError{AggregateType: "Document", AggregateID: id, EventType: "Gone", EventID: id, Version: 2},
	} {
		require.EqualError(t, err, want)
	}
	assert.NoError(t, errors.Unwrap(&aggregate.PanicError{Value: "not an error"}))
}
