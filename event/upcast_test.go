package event_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
)

type Created struct {
	Title string `json:"title"`
}

func (Created) EventType() string { return "DocumentCreated" }

type Unencodable struct{ C chan int }

func (Unencodable) EventType() string { return "Unencodable" }

// Edited had two earlier forms and another name.
type Edited struct {
	Content string `json:"content"`
	Words   int    `json:"words"`
}

func (Edited) EventType() string { return "DocumentEdited" }

type (
	editedV1 struct {
		Body string `json:"body"`
	}
	editedV2 struct {
		Content string `json:"content"`
	}
)

var errUpcast = errors.New("cannot be converted")

func (Edited) Upcasts() []event.Upcast {
	return []event.Upcast{
		event.RenamedFrom("DocumentChanged"),
		event.StepErr(func(old editedV1) (editedV2, error) {
			if old.Body == "bad" {
				return editedV2{}, errUpcast
			}
			return editedV2{Content: old.Body}, nil
		}),
		event.SplitFrom("DocumentReplaced", func(old editedV1) []event.Payload {
			if old.Body == "" {
				return nil
			}
			return []event.Payload{Created{Title: "replaced"}, Edited{Content: old.Body}, Stray{}}
		}),
		event.Step(func(old editedV2) Edited { return Edited{Content: old.Content, Words: len(old.Content)} }),
	}
}

// Stray is a part that nobody asks for.
type Stray struct{}

func (Stray) EventType() string { return "Stray" }

// Divided was one event once, and is two now.
type Divided struct {
	N int `json:"n"`
}

func (Divided) EventType() string { return "Divided" }

type dividedV1 struct {
	From int `json:"from"`
	To   int `json:"to"`
}

func (Divided) Upcasts() []event.Upcast {
	return []event.Upcast{event.Split(func(old dividedV1) []event.Payload {
		var parts []event.Payload
		for n := old.From; n <= old.To; n++ {
			parts = append(parts, Divided{N: n})
		}
		return parts
	})}
}

// log takes what handlers saw.
type log []string

func handlers(t *testing.T) *event.Handlers[*log] {
	t.Helper()
	hs, err := event.NewHandlers(nil,
		event.Handle(func(l *log, e event.Of[Created]) error {
			*l = append(*l, fmt.Sprintf("%s v%d %+v", e.Type, e.SchemaVersion, e.Payload))
			return nil
		}),
		event.Handle(func(l *log, e event.Of[Edited]) error {
			*l = append(*l, fmt.Sprintf("%s v%d %+v", e.Type, e.SchemaVersion, e.Payload))
			if e.Payload.Content == "refuse" {
				return errUpcast
			}
			return nil
		}),
		event.Handle(func(l *log, e event.Of[Divided]) error {
			*l = append(*l, fmt.Sprintf("%s v%d %+v", e.Type, e.SchemaVersion, e.Payload))
			return nil
		}),
	)
	require.NoError(t, err)
	return hs
}

func stored(eventType string, version int, data string) event.Event {
	return event.Event{ID: uuid.Max, Type: eventType, SchemaVersion: version, Position: 7, Data: []byte(data)}
}

// Handlers are given every event in its current form.
func TestHandleEachForm(t *testing.T) {
	t.Parallel()
	hs := handlers(t)
	tests := map[string]struct {
		stored event.Event
		want   log
	}{
		"current":               {stored("DocumentEdited", 3, `{"content":"now","words":1}`), log{"DocumentEdited v3 {Content:now Words:1}"}},
		"version 2":             {stored("DocumentEdited", 2, `{"content":"two"}`), log{"DocumentEdited v3 {Content:two Words:3}"}},
		"version 1":             {stored("DocumentEdited", 1, `{"body":"one"}`), log{"DocumentEdited v3 {Content:one Words:3}"}},
		"renamed":               {stored("DocumentChanged", 1, `{"body":"one"}`), log{"DocumentEdited v3 {Content:one Words:3}"}},
		"renamed and current":   {stored("DocumentChanged", 3, `{"content":"c","words":9}`), log{"DocumentEdited v3 {Content:c Words:9}"}},
		"split from":            {stored("DocumentReplaced", 1, `{"body":"b"}`), log{"DocumentCreated v1 {Title:replaced}", "DocumentEdited v3 {Content:b Words:0}"}},
		"split from to nothing": {stored("DocumentReplaced", 1, `{}`), nil},
		"split":                 {stored("Divided", 1, `{"from":3,"to":5}`), log{"Divided v2 {N:3}", "Divided v2 {N:4}", "Divided v2 {N:5}"}},
		"split to nothing":      {stored("Divided", 1, `{"from":3,"to":2}`), nil},
		"split and current":     {stored("Divided", 2, `{"n":1}`), log{"Divided v2 {N:1}"}},
		"unknown fields":        {stored("DocumentCreated", 1, `{"title":"t","new":[1]}`), log{"DocumentCreated v1 {Title:t}"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got log
			handled, err := hs.Handle(&got, test.stored)
			require.NoError(t, err)
			assert.True(t, handled)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestHandleFailures(t *testing.T) {
	t.Parallel()
	hs := handlers(t)
	for name, e := range map[string]event.Event{
		"not JSON":        stored("DocumentCreated", 1, `{`),
		"old, not JSON":   stored("DocumentEdited", 1, `{`),
		"step fails":      stored("DocumentEdited", 1, `{"body":"bad"}`),
		"newer":           stored("DocumentEdited", 4, `{}`),
		"version 0":       stored("DocumentEdited", 0, `{}`),
		"renamed, newer":  stored("DocumentChanged", 4, `{}`),
		"split, not JSON": stored("DocumentReplaced", 1, `{`),
	} {
		var got log
		handled, err := hs.Handle(&got, e)
		assert.True(t, handled, name)
		require.ErrorIs(t, err, event.ErrDecode, name)
		var decodeError *event.DecodeError
		require.ErrorAs(t, err, &decodeError, name)
		assert.Equal(t, e.Type, decodeError.Type)
		assert.Equal(t, e.ID, decodeError.EventID)
		assert.Equal(t, e.SchemaVersion, decodeError.SchemaVersion)
		assert.EqualValues(t, 7, decodeError.Position)
		require.Error(t, decodeError.Unwrap())
		assert.Empty(t, got, name)
	}
	_, err := hs.Handle(new(log), stored("DocumentEdited", 1, `{"body":"bad"}`))
	require.ErrorIs(t, err, errUpcast, "the step's error is wrapped")

	handled, err := hs.Handle(new(log), stored("Stranger", 1, `{`))
	require.NoError(t, err)
	assert.False(t, handled)

	for _, version := range []int{1, 2, 3} {
		data := map[int]string{1: `{"body":"refuse"}`, 2: `{"content":"refuse"}`, 3: `{"content":"refuse"}`}[version]
		handled, err = hs.Handle(new(log), stored("DocumentEdited", version, data))
		assert.True(t, handled)
		require.ErrorIs(t, err, errUpcast)
		require.NotErrorIs(t, err, event.ErrDecode, "a handler's error is its own")
	}
	_, err = hs.Handle(new(log), stored("DocumentReplaced", 1, `{"body":"refuse"}`))
	require.ErrorIs(t, err, errUpcast)
}

func TestASplitIntoAPayloadOfAnotherTypeIsRefused(t *testing.T) {
	t.Parallel()
	hs, err := event.NewHandlers(nil, event.Handle(func(struct{}, event.Of[strayed]) error { return nil }))
	require.NoError(t, err)
	_, err = hs.Handle(struct{}{}, event.Event{Type: "Strayed", SchemaVersion: 1, Data: []byte(`{}`)})
	require.ErrorIs(t, err, event.ErrDefinition)
}

type strayed struct{}

func (strayed) EventType() string { return "Strayed" }
func (strayed) Upcasts() []event.Upcast {
	return []event.Upcast{event.Split(func(struct{}) []event.Payload { return []event.Payload{impostor{}} })}
}

// impostor bears another type's name.
type impostor struct{}

func (impostor) EventType() string { return "Strayed" }

func TestHandlersDescribeThemselves(t *testing.T) {
	t.Parallel()
	hs := handlers(t)
	assert.Equal(t, []string{"Divided", "DocumentChanged", "DocumentCreated", "DocumentEdited", "DocumentReplaced"}, hs.Types())
	for name, want := range map[string]int{"DocumentCreated": 1, "DocumentEdited": 3, "Divided": 2} {
		version, ok := hs.SchemaVersion(name)
		assert.True(t, ok)
		assert.Equal(t, want, version)
	}
	_, ok := hs.SchemaVersion("DocumentChanged")
	assert.False(t, ok, "an old name is not emitted any more")
	assert.Empty(t, emptyHandlers(t).Types())
}

func emptyHandlers(t *testing.T) *event.Handlers[int] {
	t.Helper()
	hs, err := event.NewHandlers[int](event.JSON{})
	require.NoError(t, err)
	return hs
}

func TestSchemaVersion(t *testing.T) {
	t.Parallel()
	for want, payload := range map[int]event.Payload{1: Created{}, 2: Divided{}, 3: Edited{}} {
		version, err := event.SchemaVersion(payload)
		require.NoError(t, err)
		assert.Equal(t, want, version)
	}
	_, err := event.SchemaVersion(Disjointed{})
	require.ErrorIs(t, err, event.ErrDefinition)
}

// Payload types that contradict themselves.

type Disjointed struct{}

func (Disjointed) EventType() string { return "Disjointed" }
func (Disjointed) Upcasts() []event.Upcast {
	return []event.Upcast{
		event.Step(func(editedV1) editedV2 { return editedV2{} }),
		event.Step(func(dividedV1) Disjointed { return Disjointed{} }),
	}
}

type WrongEnd struct{}

func (WrongEnd) EventType() string { return "WrongEnd" }
func (WrongEnd) Upcasts() []event.Upcast {
	return []event.Upcast{event.Step(func(editedV1) editedV2 { return editedV2{} })}
}

type ZeroUpcast struct{}

func (ZeroUpcast) EventType() string       { return "ZeroUpcast" }
func (ZeroUpcast) Upcasts() []event.Upcast { return []event.Upcast{{}} }

type RenamedToItself struct{}

func (RenamedToItself) EventType() string { return "RenamedToItself" }
func (RenamedToItself) Upcasts() []event.Upcast {
	return []event.Upcast{event.RenamedFrom("RenamedToItself")}
}

type RenamedTwice struct{}

func (RenamedTwice) EventType() string { return "RenamedTwice" }
func (RenamedTwice) Upcasts() []event.Upcast {
	return []event.Upcast{event.RenamedFrom("Old"), event.RenamedFrom("Old")}
}

type SplitTwice struct{}

func (SplitTwice) EventType() string { return "SplitTwice" }
func (SplitTwice) Upcasts() []event.Upcast {
	none := func(editedV1) []event.Payload { return nil }
	return []event.Upcast{event.SplitFrom("Old", none), event.SplitFrom("Old", none)}
}

type BadOldName struct{}

func (BadOldName) EventType() string       { return "BadOldName" }
func (BadOldName) Upcasts() []event.Upcast { return []event.Upcast{event.RenamedFrom("")} }

type Nameless struct{}

func (Nameless) EventType() string { return "" }

type Panicking struct{}

func (Panicking) EventType() string { panic("no name") }

type TakesCreated struct{}

func (TakesCreated) EventType() string { return "TakesCreated" }
func (TakesCreated) Upcasts() []event.Upcast {
	return []event.Upcast{event.RenamedFrom("DocumentCreated")}
}

type TakesChanged struct{}

func (TakesChanged) EventType() string { return "TakesChanged" }
func (TakesChanged) Upcasts() []event.Upcast {
	return []event.Upcast{event.RenamedFrom("DocumentChanged")}
}

func on[P event.Payload]() event.Handler[int] {
	return event.Handle(func(int, event.Of[P]) error { return nil })
}

func TestDefinitionErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handlers []event.Handler[int]
		reason   string
	}{
		"steps do not fit":    {[]event.Handler[int]{on[Disjointed]()}, "does not take the event_test.editedV2"},
		"last step":           {[]event.Handler[int]{on[WrongEnd]()}, "the last step returns a event_test.editedV2"},
		"zero upcast":         {[]event.Handler[int]{on[ZeroUpcast]()}, "upcast 1: is the zero value"},
		"renamed to itself":   {[]event.Handler[int]{on[RenamedToItself]()}, "taken already"},
		"renamed twice":       {[]event.Handler[int]{on[RenamedTwice]()}, "upcast 2"},
		"split twice":         {[]event.Handler[int]{on[SplitTwice]()}, "taken already"},
		"bad old name":        {[]event.Handler[int]{on[BadOldName]()}, "must not be empty"},
		"nameless":            {[]event.Handler[int]{on[Nameless]()}, "must not be empty"},
		"panics":              {[]event.Handler[int]{on[Panicking]()}, "no name"},
		"interface":           {[]event.Handler[int]{on[event.Payload]()}, "panics"},
		"nil function":        {[]event.Handler[int]{event.Handle[int, Created](nil)}, "handler is nil"},
		"zero handler":        {[]event.Handler[int]{{}}, "zero value"},
		"two handlers":        {[]event.Handler[int]{on[Created](), on[Created]()}, "two handlers"},
		"old name of another": {[]event.Handler[int]{on[Created](), on[TakesCreated]()}, "old name of one payload type and the name of another"},
		"one old name of two": {[]event.Handler[int]{on[Edited](), on[TakesChanged]()}, "claimed as an old name by two"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := event.NewHandlers(event.JSON{}, test.handlers...)
			require.ErrorIs(t, err, event.ErrDefinition)
			var definitionError *event.DefinitionError
			require.ErrorAs(t, err, &definitionError)
			assert.NotEmpty(t, definitionError.Subject+name)
			assert.ErrorContains(t, err, test.reason)
		})
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0190a9c7-0000-7000-8000-000000000001")
	undecodable := "event " + id.String() + " (E, schema version 2, position 7) does not decode: why"
	for want, err := range map[string]error{
		`invalid actor_id "x": is bad`:              &event.InvalidError{Field: "actor_id", Value: "x", Reason: "is bad"},
		`invalid actor_id: is bad`:                  &event.InvalidError{Field: "actor_id", Reason: "is bad"},
		`payload has 11 bytes, the limit is 10`:     &event.TooLargeError{Field: "payload", Size: 11, Limit: 10, Unit: "bytes"},
		`payload of event "E" does not encode: why`: &event.EncodeError{Type: "E", Err: errors.New("why")},
		undecodable:                           &event.DecodeError{EventID: id, Type: "E", SchemaVersion: 2, Position: 7, Err: errors.New("why")},
		`definition of "E": has two handlers`: &event.DefinitionError{Subject: "E", Reason: "has two handlers"},
	} {
		require.EqualError(t, err, want)
	}
}

type nameGiven struct{ Name string }

func (nameGiven) EventType() string       { return "NameGiven" }
func (nameGiven) Upcasts() []event.Upcast { return []event.Upcast{fromRegistered()} }

type addressGiven struct{ Address string }

func (addressGiven) EventType() string       { return "AddressGiven" }
func (addressGiven) Upcasts() []event.Upcast { return []event.Upcast{fromRegistered()} }

func fromRegistered() event.Upcast {
	return event.SplitFrom("Registered", func(old struct{ Name, Address string }) []event.Payload {
		return []event.Payload{nameGiven{old.Name}, addressGiven{old.Address}}
	})
}

func TestSplitFromMayBeDeclaredByEachPart(t *testing.T) {
	t.Parallel()
	old := event.Event{Type: "Registered", SchemaVersion: 1, Data: []byte(`{"Name":"Ann","Address":"Lane 1"}`)}
	name := event.Handle(func(seen *[]string, e event.Of[nameGiven]) error { *seen = append(*seen, e.Payload.Name); return nil })
	address := event.Handle(func(seen *[]string, e event.Of[addressGiven]) error {
		*seen = append(*seen, e.Payload.Address)
		return nil
	})
	for want, handlers := range map[string][]event.Handler[*[]string]{
		"Ann": {name}, "Lane 1": {address}, "Ann, Lane 1": {name, address}, "Ann, Lane 1 ": {address, name},
	} {
		table, err := event.NewHandlers(nil, handlers...)
		require.NoError(t, err)
		assert.Contains(t, table.Types(), "Registered")
		var seen []string
		_, err = table.Handle(&seen, old)
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSpace(want), strings.Join(seen, ", "))
	}
}

type halved struct{}

func (halved) EventType() string { return "Halved" }
func (halved) Upcasts() []event.Upcast {
	return []event.Upcast{event.Split(func(struct{}) []event.Payload { return []event.Payload{nil} })}
}

type careless struct{ upcast event.Upcast }

func (careless) EventType() string         { return "Careless" }
func (c careless) Upcasts() []event.Upcast { return []event.Upcast{c.upcast} }

func TestNilFunctionsAndPayloadsAreRefused(t *testing.T) {
	t.Parallel()
	table, err := event.NewHandlers(nil, event.Handle(func(struct{}, event.Of[halved]) error { return nil }))
	require.NoError(t, err)
	_, err = table.Handle(struct{}{}, event.Event{Type: "Halved", SchemaVersion: 1, Data: []byte(`{}`)})
	require.ErrorIs(t, err, event.ErrDecode)
	for name, upcast := range map[string]event.Upcast{
		"Step": event.Step[int, careless](nil), "StepErr": event.StepErr[int, careless](nil),
		"Split": event.Split[int](nil), "SplitFrom": event.SplitFrom[int]("Old", nil),
	} {
		_, err := event.SchemaVersion(careless{upcast})
		require.ErrorIs(t, err, event.ErrDefinition, name)
	}
	var missing *careless
	_, err = event.New(t.Context(), missing)
	require.ErrorIs(t, err, event.ErrEncode)
	_, err = event.NewWith(t.Context(), nil, time.Now(), careless{event.RenamedFrom("Old")})
	require.NoError(t, err)
}
