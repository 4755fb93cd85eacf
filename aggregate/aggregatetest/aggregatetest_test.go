package aggregatetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/aggregate"
	"github.com/evident-go/evident/aggregate/aggregatetest"
	"github.com/evident-go/evident/event"
)

type Created struct {
	Title string   `json:"title"`
	Tags  []string `json:"tags"`
}

func (Created) EventType() string { return "DocumentCreated" }

type Edited struct {
	Content string `json:"content"`
	secret  string
}

func (Edited) EventType() string { return "DocumentEdited" }

type editedV1 struct {
	Body string `json:"body"`
}

func (Edited) Upcasts() []event.Upcast {
	return []event.Upcast{event.Step(func(old editedV1) Edited { return Edited{Content: old.Body} })}
}

type Unhandled struct{}

func (Unhandled) EventType() string { return "DocumentUnhandled" }

// Reversed cannot be read back.
type Reversed struct{ Text text }

func (Reversed) EventType() string { return "DocumentReversed" }

type text string

func (text) MarshalJSON() ([]byte, error) { return []byte(`7`), nil }

type State struct {
	Title, Content string
	EditedBy       event.ActorID
	EditedAt       time.Time
	Tenant         event.TenantID
}

var documents = aggregate.Define("Document",
	aggregate.On(func(s *State, e event.Of[Created]) { s.Title, s.EditedBy = e.Payload.Title, e.ActorID }),
	aggregate.On(func(s *State, e event.Of[Edited]) {
		s.Content, s.EditedBy, s.EditedAt, s.Tenant = e.Payload.Content, e.ActorID, e.OccurredAt, e.TenantID
	}),
	aggregate.On(func(*State, event.Of[Reversed]) {}),
)

var (
	errNotCreated = errors.New("document does not exist")
	errOther      = errors.New("something else")
)

type Document struct{ aggregate.AggregateRoot[State] }

func (d *Document) Edit(ctx context.Context, content string) error {
	switch {
	case d.Version() == 0:
		return errNotCreated
	case content == d.State().Content:
		return nil
	default:
		return d.Emit(ctx, Edited{Content: content})
	}
}

func edit(content string) func(context.Context, *Document) error {
	return func(ctx context.Context, d *Document) error { return d.Edit(ctx, content) }
}

func TestThen(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[Document](t, documents, Created{Title: "Plan"}).
		When(edit("v1")).
		Then(Edited{Content: "v1"}).
		ThenState(State{Title: "Plan", Content: "v1", EditedAt: aggregatetest.Time()})
	aggregatetest.Given[Document](t, documents, Created{}).When(edit("v1")).Then(&Edited{Content: "v1"})
	aggregatetest.Given[Document](t, documents).When(edit("v1")).ThenError(errNotCreated)
	aggregatetest.Given[Document](t, documents, Created{}, Edited{Content: "v1"}).When(edit("v1")).ThenNothing()
	aggregatetest.Given[Document](t, documents).
		When(func(ctx context.Context, d *Document) error { return d.Emit(ctx, Created{Tags: []string{}}) }).
		Then(Created{})
}

func TestScenarioSettings(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	earlier := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	outcome := aggregatetest.Given[Document](t, documents).
		WithID(id).For("acme").At(earlier).Earlier(event.User("bob"), Created{Title: "Plan"}).
		As(event.User("alice")).At(earlier.Add(time.Hour)).
		When(func(ctx context.Context, d *Document) error {
			assert.Equal(t, event.User("bob"), d.State().EditedBy)
			return d.Edit(ctx, "v1")
		}).
		ThenState(State{Title: "Plan", Content: "v1", EditedBy: event.User("alice"), EditedAt: earlier.Add(time.Hour), Tenant: "acme"}).
		ThenEvents(func(events []event.Event) {
			require.Len(t, events, 1)
			assert.Equal(t, event.User("alice"), events[0].ActorID)
			assert.Equal(t, event.TenantID("acme"), events[0].TenantID)
			assert.EqualValues(t, 2, events[0].AggregateVersion)
		})
	assert.Equal(t, id, outcome.Aggregate.ID())
	require.NoError(t, outcome.Err)
}

func TestStoredHistoryIsUpcast(t *testing.T) {
	t.Parallel()
	aggregatetest.Given[Document](t, documents, Created{Title: "Plan"}).
		Stored(event.Event{Type: "DocumentEdited", Data: []byte(`{"body":"old form"}`)}).
		When(edit("old form")).
		ThenNothing()
}

// recorder takes what a scenario reports.
type recorder struct {
	*testing.T

	report strings.Builder
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	fmt.Fprintf(&r.report, "error: "+format+"\n", args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	fmt.Fprintf(&r.report, "fatal: "+format+"\n", args...)
}

// spaces makes the difference readable by machine: cmp varies its spaces on
// purpose, so that nobody depends on them.
var spaces = regexp.MustCompile(`[\s\x{a0}]+`)

// ids are different each time.
var ids = regexp.MustCompile(`event [0-9a-f-]{36}`)

func normal(s string) string {
	var lines []string
	s = ids.ReplaceAllString(s, "event <id>")
	for line := range strings.Lines(s) {
		lines = append(lines, strings.TrimSpace(spaces.ReplaceAllString(line, " ")))
	}
	return strings.Join(lines, "\n") + "\n"
}

// What a failing scenario says is part of what this package is for: it is
// compared with testdata/<name>.golden. Run with UPDATE_GOLDEN=1 to accept it.
func TestFailures(t *testing.T) {
	t.Parallel()
	created := Created{Title: "Plan"}
	broken := aggregate.Define[State]("Document")
	tests := map[string]func(t aggregatetest.TB){
		"other payload": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).When(edit("v1")).Then(Edited{Content: "v2"})
		},
		"other event": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).When(edit("v1")).Then(Created{Title: "v1"})
		},
		"more than wanted": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).When(edit("v1")).ThenNothing()
		},
		"fewer than wanted": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).When(edit("")).Then(Edited{}, nil)
		},
		"lost in encoding": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).
				When(func(ctx context.Context, d *Document) error { return d.Emit(ctx, Edited{secret: "x"}) }).
				Then(Edited{secret: "x"})
		},
		"unexpected error": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents).When(edit("v1")).
				Then(Edited{}).ThenState(State{}).ThenEvents(func([]event.Event) { t.Errorf("not called") })
		},
		"other error": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents).When(edit("v1")).ThenError(errOther)
		},
		"no error": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).When(edit("v1")).ThenError(errOther)
		},
		"no error and nothing": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).When(edit("")).ThenError(errOther)
		},
		"error and events": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).
				When(func(ctx context.Context, d *Document) error { return errors.Join(d.Edit(ctx, "v1"), errOther) }).
				ThenError(errOther)
		},
		"other state": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).When(edit("v1")).
				ThenState(State{Title: "Plan", Content: "v2", EditedAt: aggregatetest.Time()})
		},
		"own state method": func(t aggregatetest.TB) {
			aggregatetest.Given[stateful](t, documents, created).
				When(func(context.Context, *stateful) error { return nil }).ThenState(State{})
		},
		"not to be read again": func(t aggregatetest.TB) {
			aggregatetest.Given[Document](t, documents, created).
				When(func(ctx context.Context, d *Document) error { return d.Emit(ctx, Reversed{Text: "x"}) }).
				Then(Reversed{Text: "x"})
		},
		"history nil":             func(t aggregatetest.TB) { aggregatetest.Given[Document](t, documents, nil) },
		"history without handler": func(t aggregatetest.TB) { aggregatetest.Given[Document](t, documents, Unhandled{}).When(edit("v1")) },
		"history does not encode": func(t aggregatetest.TB) { aggregatetest.Given[Document](t, documents, Channel{C: make(chan int)}) },
		"broken definition":       func(t aggregatetest.TB) { aggregatetest.Given[Document](t, broken, created) },
	}
	for name, scenario := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{T: t}
			scenario(r)
			golden := filepath.Join("testdata", strings.ReplaceAll(name, " ", "_")+".golden")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				require.NoError(t, os.WriteFile(golden, []byte(normal(r.report.String())), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), normal(r.report.String()))
		})
	}
}

type stateful struct{ aggregate.AggregateRoot[State] }

func (*stateful) State() string { return "its own" }

type Channel struct{ C chan int }

func (Channel) EventType() string { return "Channel" }

func TestDecide(t *testing.T) {
	t.Parallel()
	decider := aggregate.Decider[State, string]{
		Definition: documents,
		Decide: func(_ context.Context, s State, content string) ([]event.Payload, error) {
			if s.Title == "" {
				return nil, errNotCreated
			}
			return []event.Payload{Edited{Content: content}}, nil
		},
	}
	aggregatetest.Given[aggregatetest.Decided[State]](t, decider.Definition, Created{Title: "Plan"}).
		When(aggregatetest.Decide(decider, "v1")).Then(Edited{Content: "v1"})
	aggregatetest.Given[aggregatetest.Decided[State]](t, decider.Definition).
		When(aggregatetest.Decide(decider, "v1")).ThenError(errNotCreated)
}
