package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/postgres"
	"github.com/evident-go/evident/projection"
)

// totals counts orders for each stream, in a table, and refuses on request.
type totals struct {
	projection.Projection

	version int
	refuse  func(e event.Event) error
}

func (totals) Name() string                    { return "totals" }
func (p totals) Version() int                  { return max(p.version, 1) }
func (totals) EventTypes() []string            { return []string{"OrderPlaced"} }
func (totals) Guarantee() projection.Guarantee { return projection.ExactlyOnce }

func (p totals) Apply(ctx context.Context, tx projection.Tx, e event.Event) error {
	own, _ := projection.TxAs[*postgres.Tx](tx)
	_, err := own.PGX().Exec(ctx, `INSERT INTO totals (id, n, last) VALUES ($1, 1, $2) ON CONFLICT (id) DO UPDATE SET n = totals.n + 1, last = $2`,
		[16]byte(e.AggregateID), int64(e.Position))
	if err == nil && p.refuse != nil {
		err = p.refuse(e)
	}
	return err
}

func (totals) Reset(ctx context.Context, tx projection.Tx) error {
	own, _ := projection.TxAs[*postgres.Tx](tx)
	_, err := own.PGX().Exec(ctx, "DROP TABLE IF EXISTS totals; CREATE TABLE totals (id uuid PRIMARY KEY, n int NOT NULL, last bigint NOT NULL)")
	return err
}

// deployed returns the configuration of a store with inline projections.
func deployed(tb testing.TB, config postgres.Config, projections ...projection.Projection) postgres.Config {
	tb.Helper()
	config.Inline = projections
	require.NoError(tb, postgres.DeployInline(tb.Context(), config))
	return config
}

func requireTotals(tb testing.TB, store *postgres.Store) {
	tb.Helper()
	require.Zero(tb, value[int](tb, store, `SELECT count(*) FROM totals FULL JOIN
		(SELECT aggregate_id, count(*) AS n, max(position) AS last FROM evident.events WHERE event_type = 'OrderPlaced' GROUP BY 1) e
		ON e.aggregate_id = totals.id WHERE totals.n IS DISTINCT FROM e.n OR totals.last IS DISTINCT FROM e.last`))
}

// An inline projection is never late: whoever has the answer to an append finds
// its row.
func TestInline(t *testing.T) {
	t.Parallel()
	store := open(t, deployed(t, newDatabase(t), totals{}))
	other := newOrder()
	other.Type = "SomethingElse"
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			stream := orders()
			_, err := store.Append(t.Context(), eventstore.Append{Stream: stream, Events: newOrders(3)}, eventstore.Append{Stream: orders(), Events: newOrders(1)})
			require.NoError(t, err)
			require.Equal(t, 3, value[int](t, store, "SELECT n FROM totals WHERE id = $1", stream.AggregateID))
		})
	}
	all.Wait()
	_, err := store.Append(t.Context(), eventstore.Append{Stream: orders(), Events: []event.Event{other}})
	require.NoError(t, err)
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	appendTo(t, store.Within(tx), orders(), 2)
	require.NoError(t, tx.Commit(t.Context()))
	_, err = store.Import(t.Context(), sequence(history(3, 3)))
	require.NoError(t, err)
	requireTotals(t, store)
	require.Equal(t, 64, value[int](t, store, "SELECT count(*) FROM totals"))
}

// Who is refused by a projection is undone alone.
func TestInlineRefusal(t *testing.T) {
	t.Parallel()
	errRefused := errors.New("no more of these")
	store := open(t, deployed(t, newDatabase(t), totals{refuse: func(e event.Event) error {
		switch e.ActorID {
		case "user:error":
			return errRefused
		case "user:panic":
			panic("at the handler")
		default:
			return nil
		}
	}}))
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			events := newOrders(2)
			events[1].ActorID = []event.ActorID{"user:fine", "user:error", "user:panic"}[i%3]
			_, err := store.Append(t.Context(), eventstore.Append{Stream: orders(), Events: events})
			if i%3 == 0 {
				require.NoError(t, err)
				return
			}
			var refusal *postgres.InlineError
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, "totals", refusal.Projection)
			require.Equal(t, events[1].ID, refusal.EventID)
			require.False(t, eventstore.IsRetryable(err))
			if i%3 == 1 {
				require.ErrorIs(t, err, errRefused)
			} else {
				require.ErrorContains(t, err, "at the handler")
			}
		})
	}
	all.Wait()
	require.Len(t, readAll(t, store, eventstore.Query{}), 40)
	requireTotals(t, store)
}

func TestInlineInTheCallersTransaction(t *testing.T) {
	t.Parallel()
	store := open(t, deployed(t, newDatabase(t), totals{refuse: func(e event.Event) error {
		if e.ActorID == "user:error" {
			return errors.New("refused")
		}
		return nil
	}}))
	tx, err := store.Pool().Begin(t.Context())
	require.NoError(t, err)
	refused := newOrders(1)
	refused[0].ActorID = "user:error"
	_, err = store.Within(tx).Append(t.Context(), eventstore.Append{Stream: orders(), Events: refused})
	require.ErrorAs(t, err, new(*postgres.InlineError))
	appendTo(t, store.Within(tx), orders(), 1)
	require.NoError(t, tx.Commit(t.Context()), "a refusal leaves it usable")
	require.Len(t, readAll(t, store, eventstore.Query{}), 1)
	requireTotals(t, store)
}

// Events that are there when a projection is deployed are given to it, and
// nobody appends past it, neither meanwhile nor with an old program.
func TestDeployInline(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	old := open(t, config)
	stream := orders()
	appendTo(t, old, stream, 700)
	running, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			if n == 5 {
				close(running)
			}
			if _, err := old.Append(t.Context(), eventstore.Append{Stream: orders(), Events: newOrders(1)}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	await(t, running, "the fifth append")
	with := deployed(t, config, totals{})
	err := <-stopped
	require.ErrorIs(t, err, eventstore.ErrSchema)
	require.ErrorContains(t, err, "totals v1")
	for _, events := range []int{1, 2} { // both functions
		_, err = old.Append(t.Context(), eventstore.Append{Stream: orders(), Events: newOrders(events)})
		require.ErrorIs(t, err, eventstore.ErrSchema)
	}
	_, err = old.Import(t.Context(), sequence(history(1, 1)))
	require.ErrorIs(t, err, eventstore.ErrSchema)
	_, err = postgres.Open(t.Context(), config)
	var mismatch *postgres.InlineMismatchError
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, postgres.InlineMismatchError{Store: "totals v1"}, *mismatch)
	store := open(t, with)
	requireTotals(t, store)
	require.Equal(t, 700, value[int](t, store, "SELECT n FROM totals WHERE id = $1", stream.AggregateID))

	execIn(t, store, "DELETE FROM totals")
	require.NoError(t, postgres.DeployInline(t.Context(), with), "nothing to do")
	require.Zero(t, value[int](t, store, "SELECT count(*) FROM totals"))
	deployed(t, config, totals{version: 2})
	requireTotals(t, store)
	_, err = store.Append(t.Context(), eventstore.Append{Stream: stream, Events: newOrders(1)})
	require.ErrorIs(t, err, eventstore.ErrSchema)
	deployed(t, config)
	appendTo(t, old, stream, 1)
}

// A deployment that fails has changed nothing.
func TestDeployInlineFails(t *testing.T) {
	t.Parallel()
	config := newDatabase(t)
	store := open(t, config)
	appendTo(t, store, orders(), 3)
	config.Inline = []projection.Projection{totals{refuse: func(event.Event) error { return errors.New("refused") }}}
	require.ErrorContains(t, postgres.DeployInline(t.Context(), config), "refused")
	require.Nil(t, value[*string](t, store, "SELECT to_regclass('totals')::text"))
	appendTo(t, store, orders(), 1)
}

func TestInlineConfig(t *testing.T) {
	t.Parallel()
	outside := projection.New("outside", 1, projection.OnEvery(func(context.Context, event.Event) error { return nil }))
	for name, projections := range map[string][]projection.Projection{
		"nil": {nil}, "outside": {outside}, "twice": {totals{}, totals{version: 2}},
		"broken": {projection.New("broken", 1)},
	} {
		config := postgres.Config{URL: "postgres://localhost/none", Inline: projections}
		require.Error(t, config.Validate(), name)
		require.Error(t, postgres.DeployInline(t.Context(), config), name)
	}
}
