package projection_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/memory"
	"github.com/evident-go/evident/projection"
)

func onBatch(context.Context, []event.Event) error { return nil }

func onEvery(context.Context, event.Event) error { return nil }

func TestPartsThatContradictEachOther(t *testing.T) {
	t.Parallel()
	const both = "for batches and one for single events"
	for _, c := range []struct {
		want  string
		parts []projection.Part
	}{
		{"OnBatch is given twice", []projection.Part{projection.OnBatch(onBatch), projection.OnBatch(onBatch)}},
		{"given to OnBatch is nil", []projection.Part{projection.OnBatch(nil)}},
		{"given to OnEvery is nil", []projection.Part{projection.OnEvery(nil)}},
		{"given to OnReset is nil", []projection.Part{projection.On(onNoted), projection.OnReset(nil)}},
		{both, []projection.Part{projection.OnBatch(onBatch), projection.On(onNoted)}},
		{both, []projection.Part{projection.OnEvery(onEvery), projection.OnBatch(onBatch)}},
		{"handler is nil", []projection.Part{projection.On[noted](nil)}},
		{"a part is nil", []projection.Part{nil, projection.OnBatch(nil)}},
	} {
		p := projection.New("notes", 1, c.parts...)
		err := p.Validate()
		require.ErrorIs(t, err, event.ErrDefinition, c.want)
		require.ErrorContains(t, err, c.want)
		assert.Equal(t, err, p.Apply(t.Context(), nil, event.Event{}))
		assert.Equal(t, err, p.ApplyBatch(t.Context(), nil, []event.Event{{}}))
		assert.Equal(t, err, p.CanReset())
		assert.Equal(t, err, p.Reset(t.Context(), nil))
		assert.Nil(t, p.EventTypes())
	}
}

func TestEventTypesAreThoseOfAllHandlers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		want  []string
		parts []projection.Part
	}{
		"one payload type":     {[]string{"Noted"}, []projection.Part{projection.On(onNoted)}},
		"some and one":         {[]string{"A", "B", "Noted"}, []projection.Part{projection.OnEvery(onEvery, "B", "Noted", "A"), projection.On(onNoted)}},
		"every and one":        {nil, []projection.Part{projection.OnEvery(onEvery), projection.On(onNoted)}},
		"batches of all":       {nil, []projection.Part{projection.OnBatch(onBatch)}},
		"batches of two types": {[]string{"A", "B"}, []projection.Part{projection.OnBatch(onBatch, "B", "A", "B")}},
	} {
		p := projection.New("notes", 1, tc.parts...)
		require.NoError(t, p.Validate(), name)
		types := p.EventTypes()
		assert.Equal(t, tc.want, types, name)
		if len(types) > 0 {
			types[0] = "changed"
			assert.Equal(t, tc.want, p.EventTypes(), "what was handed out is the caller's")
		}
	}
}

func TestHandlersGetTheirEvents(t *testing.T) {
	t.Parallel()
	var seen []string
	note := func(s string) { seen = append(seen, s) }
	single := projection.New("notes", 1,
		projection.On(func(context.Context, event.Of[noted]) error { note("typed"); return nil }),
		projection.OnEvery(func(context.Context, event.Event) error { note("other"); return nil }, "Other"),
		projection.OnEvery(func(context.Context, event.Event) error { note("every"); return nil }),
	)
	noted := event.Event{Type: "Noted", SchemaVersion: 1, Data: []byte(`{}`)}
	require.NoError(t, single.Apply(t.Context(), nil, noted))
	require.NoError(t, single.ApplyBatch(t.Context(), nil, []event.Event{{Type: "Other"}, noted}))
	assert.Equal(t, []string{"every", "typed", "other", "every", "every", "typed"}, seen)

	var sizes []int
	batch := projection.New("notes", 1, projection.OnBatch(func(_ context.Context, events []event.Event) error {
		sizes = append(sizes, len(events))
		return errors.New("no")
	}))
	require.EqualError(t, batch.Apply(t.Context(), nil, noted), "no")
	require.EqualError(t, batch.ApplyBatch(t.Context(), nil, []event.Event{noted, noted}), "no")
	assert.Equal(t, []int{1, 2}, sizes)

	failing := projection.New("notes", 1, projection.OnEvery(func(context.Context, event.Event) error { return errors.New("no") }))
	require.EqualError(t, failing.ApplyBatch(t.Context(), nil, []event.Event{noted}), "no")
}

func TestTheTargetIsAskedForWhatHandlersGet(t *testing.T) {
	t.Parallel()
	d := projection.Declare[string]("notes", 1)
	projection.Handle(d, func(_ context.Context, arg string, _ event.Of[noted]) error { return errors.New(arg) })
	d.OnReset(func(_ context.Context, arg string) error { return errors.New(arg) })
	refusal := errors.New("not ours")
	answer := error(nil)
	var order []string
	twice := projection.Declare[string]("notes", 1)
	twice.OnBatch(func(context.Context, string, []event.Event) error { return nil })
	for _, name := range []string{"first", "second"} {
		twice.OnReset(func(context.Context, string) error { order = append(order, name); return nil })
	}
	require.NoError(t, twice.Build(nil).Reset(t.Context(), nil))
	assert.Equal(t, []string{"first", "second"}, order)
	p := d.Build(func(context.Context, projection.Tx) (string, error) { return "ours", answer })
	assert.Equal(t, projection.ExactlyOnce, p.Guarantee())
	e := event.Event{Type: "Noted", SchemaVersion: 1, Data: []byte(`{}`)}
	require.EqualError(t, p.Apply(t.Context(), nil, e), "ours")
	require.EqualError(t, p.Reset(t.Context(), nil), "ours")
	answer = refusal
	require.ErrorIs(t, p.Apply(t.Context(), nil, e), refusal)
	require.ErrorIs(t, p.Reset(t.Context(), nil), refusal)
	whole := projection.Declare[string]("notes", 1)
	whole.OnBatch(func(context.Context, string, []event.Event) error { return nil })
	b := whole.Build(func(context.Context, projection.Tx) (string, error) { return "", refusal })
	require.ErrorIs(t, b.ApplyBatch(t.Context(), nil, []event.Event{e}), refusal)
	require.ErrorIs(t, b.CanReset(), event.ErrDefinition)
}

// A target that is far away takes many events at once.
func ExampleOnBatch() {
	ctx := context.Background()
	store, err := openExample(ctx, 7)
	if err != nil {
		fmt.Println(err)
		return
	}
	index := make(map[uint64]string) // as a search engine may be: documents by their key
	notes := projection.New("notes", 1, projection.OnBatch(func(_ context.Context, events []event.Event) error {
		fmt.Println("one request for", len(events))
		for _, e := range events { // in the place of those that were here before
			index[e.Position] = e.Type
		}
		return nil
	}, "Noted"))
	runner, err := projection.NewRunner(store, projection.Config{Projections: []projection.Projection{notes}, BatchSize: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(runner.RunUntilCaughtUp(ctx), len(index))
	// Output:
	// one request for 3
	// one request for 3
	// one request for 1
	// <nil> 7
}

// ledgerTx stands for the transaction of an adapter's database.
type ledgerTx struct {
	projection.Tx

	lines *[]string
}

// An adapter's NewProjection declares what its handlers are given.
func ExampleDeclare() {
	d := projection.Declare[*ledgerTx]("lines", 1)
	projection.Handle(d, func(_ context.Context, tx *ledgerTx, e event.Of[noted]) error {
		*tx.lines = append(*tx.lines, e.Payload.Text)
		return nil
	})
	p := d.Build(func(_ context.Context, tx projection.Tx) (*ledgerTx, error) {
		own, ok := projection.TxAs[*ledgerTx](tx)
		if !ok {
			return nil, &event.DefinitionError{Subject: "lines", Reason: "runs on its own store only"}
		}
		return own, nil
	})
	var lines []string
	e, _ := event.New(context.Background(), noted{Text: "milk"})
	fmt.Println(p.Apply(context.Background(), &ledgerTx{lines: &lines}, e), lines, p.Guarantee(), p.EventTypes())
	fmt.Println(p.Apply(context.Background(), nil, e))
	// Output:
	// <nil> [milk] exactly once [Noted]
	// definition of "lines": runs on its own store only
}

// openExample returns a store with n notes.
func openExample(ctx context.Context, n int) (projection.Store, error) {
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		return nil, err
	}
	for range n {
		e, err := event.New(ctx, noted{Text: "x"})
		if err != nil {
			return nil, err
		}
		stream := eventstore.Stream{AggregateType: "Note", AggregateID: event.NewID()}
		if _, err := store.Append(ctx, eventstore.Append{Stream: stream, Events: []event.Event{e}}); err != nil {
			return nil, err
		}
	}
	return store, nil
}
