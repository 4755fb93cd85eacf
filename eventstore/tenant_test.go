package eventstore_test

import (
	"context"
	"iter"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// ledger is a store that writes down what it is asked.
type ledger struct {
	eventstore.Store

	appended []eventstore.Append
	streams  []eventstore.Stream
	queries  []eventstore.Query
}

func (l *ledger) Append(_ context.Context, appends ...eventstore.Append) (eventstore.Result, error) {
	l.appended = append(l.appended, appends...)
	return eventstore.Result{Position: 1}, nil
}

func (l *ledger) ReadStream(_ context.Context, stream eventstore.Stream, _ eventstore.StreamQuery) iter.Seq2[event.Event, error] {
	l.streams = append(l.streams, stream)
	return func(yield func(event.Event, error) bool) { yield(event.Event{Position: 1}, nil) }
}

func (l *ledger) ReadAll(_ context.Context, query eventstore.Query) iter.Seq2[event.Event, error] {
	l.queries = append(l.queries, query)
	return func(yield func(event.Event, error) bool) { yield(event.Event{Position: 1}, nil) }
}

func (l *ledger) ID() uuid.UUID { return uuid.UUID{7} }

// guards returns a store bound to acme in each way, with a context for it.
func guards(ctx context.Context, l *ledger) map[string]struct {
	eventstore.Store
	context.Context
} {
	return map[string]struct {
		eventstore.Store
		context.Context
	}{
		"bound":    {eventstore.BindTenant(l, "acme"), ctx},
		"required": {eventstore.RequireTenant(l), event.WithTenant(ctx, "acme")},
	}
}

func of(tenant event.TenantID) eventstore.Stream {
	stream := orderStream()
	stream.TenantID = tenant
	return stream
}

func errorsOf(events iter.Seq2[event.Event, error]) []error {
	var errs []error
	for _, err := range events {
		errs = append(errs, err)
	}
	return errs
}

func TestTenantGuardPassesOn(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	for name, g := range guards(t.Context(), l) {
		*l = ledger{}
		result, err := g.Append(g.Context, eventstore.Append{Stream: of("acme")})
		require.NoError(t, err, name)
		assert.Equal(t, uint64(1), result.Position)
		assert.Equal(t, []error{nil}, errorsOf(g.ReadStream(g.Context, of("acme"), eventstore.StreamQuery{})))
		assert.Equal(t, []error{nil}, errorsOf(g.ReadAll(g.Context, eventstore.Query{Limit: 3})))
		assert.Equal(t, []error{nil}, errorsOf(g.ReadAll(g.Context, eventstore.Query{TenantID: "acme"})))
		assert.Equal(t, []eventstore.Append{{Stream: of("acme")}}, l.appended, name)
		assert.Equal(t, []eventstore.Stream{of("acme")}, l.streams, name)
		assert.Equal(t, []eventstore.Query{{Limit: 3, TenantID: "acme"}, {TenantID: "acme"}}, l.queries, name)
		assert.Equal(t, uuid.UUID{7}, g.ID(), name)
	}
}

func TestTenantGuardRefuses(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	for name, g := range guards(t.Context(), l) {
		for _, given := range []event.TenantID{"umbrella", "Acme", "acme ", ""} {
			refused := &eventstore.TenantError{Bound: "acme", Given: given}
			_, err := g.Append(g.Context, eventstore.Append{Stream: of("acme")}, eventstore.Append{Stream: of(given)})
			require.Equal(t, refused, err, name)
			assert.Equal(t, []error{refused}, errorsOf(g.ReadStream(g.Context, of(given), eventstore.StreamQuery{})), name)
			if given != "" {
				assert.Equal(t, []error{refused}, errorsOf(g.ReadAll(g.Context, eventstore.Query{TenantID: given})), name)
			}
		}
	}
	assert.Equal(t, &ledger{}, l, "the store was not asked")
}

func TestTenantGuardWithoutATenantRefusesEverything(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	for name, closed := range map[string]eventstore.Store{"bound": eventstore.BindTenant(l, ""), "required": eventstore.RequireTenant(l)} {
		for _, given := range []event.TenantID{"acme", ""} {
			refused := &eventstore.TenantError{Given: given}
			_, err := closed.Append(t.Context(), eventstore.Append{Stream: of(given)})
			require.Equal(t, refused, err, name)
			assert.Equal(t, []error{refused}, errorsOf(closed.ReadStream(t.Context(), of(given), eventstore.StreamQuery{})), name)
			assert.Equal(t, []error{refused}, errorsOf(closed.ReadAll(t.Context(), eventstore.Query{TenantID: given})), name)
		}
	}
	assert.Equal(t, &ledger{}, l, "the store was not asked")
}

func TestTenantGuardMayBeBrokenOutOf(t *testing.T) {
	t.Parallel()
	for _, err := range eventstore.BindTenant(&ledger{}, "acme").ReadAll(t.Context(), eventstore.Query{TenantID: "umbrella"}) {
		require.ErrorIs(t, err, eventstore.ErrTenant)
		break
	}
}

// importing is a ledger that takes over events as they are.
type importing struct{ *ledger }

func (importing) Import(context.Context, iter.Seq2[event.Event, error]) (int, error) { return 0, nil }

func TestTenantGuardImportsNothing(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]eventstore.Store{
		"bound":    eventstore.BindTenant(importing{&ledger{}}, "acme"),
		"required": eventstore.RequireTenant(importing{&ledger{}}),
	} {
		_, is := g.(eventstore.Importer)
		assert.False(t, is, "%s: whoever imports may write for every tenant", name)
	}
}
