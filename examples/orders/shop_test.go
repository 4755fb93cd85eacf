package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/pgtest"
	"github.com/evident-go/evident/postgres"
)

// The events of the shop, oldest first.
func history(t *testing.T, s *Shop, query eventstore.Query) (all []event.Event) {
	t.Helper()
	for e, err := range s.store.ReadAll(t.Context(), query) {
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

// Whichever way the actor comes, the event says who it was.
func TestTheActorIsHandedOver(t *testing.T) {
	t.Parallel()
	dana := event.User("dana")
	request := Request{Actor: dana, ID: "req-9", From: "192.0.2.1"}
	for name, c := range map[string]struct {
		place    func(ctx context.Context, s *Shop) error
		metadata event.Metadata
		chain    uuid.UUID // uuid.Nil for one of the event's own
	}{
		"directly":     {place: func(ctx context.Context, s *Shop) error { return s.PlaceAs(ctx, dana, order()) }},
		"by a command": {place: func(ctx context.Context, s *Shop) error { return s.Handle(ctx, PlaceOrder{By: dana, Order: order()}) }},
		"for somebody": {place: func(ctx context.Context, s *Shop) error {
			return s.Handle(ctx, PlaceOrder{By: dana, For: "user:eve", Order: order()})
		}, metadata: event.Metadata{audit.KeyOnBehalfOf: "user:eve"}},
		"from the context": {place: func(ctx context.Context, s *Shop) error { return s.Place(request.Context(ctx), order()) }, metadata: event.Metadata{audit.KeyRequest: "req-9", audit.KeySourceAddress: "192.0.2.1"}, chain: request.Correlation()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shop := newShop(t)
			require.NoError(t, c.place(t.Context(), shop))
			all := history(t, shop, eventstore.Query{})
			require.Len(t, all, 1)
			assert.Equal(t, dana, all[0].ActorID)
			assert.Equal(t, c.metadata, all[0].Metadata)
			if c.chain == uuid.Nil {
				c.chain = all[0].ID
			}
			assert.Equal(t, c.chain, all[0].CorrelationID)
			assert.Zero(t, all[0].CausationID)
		})
	}
}

func TestACommandSaysWhoWantsIt(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	require.ErrorIs(t, shop.Handle(t.Context(), PlaceOrder{Order: order()}), ErrNobody)
	require.ErrorIs(t, shop.Handle(t.Context(), PlaceOrder{By: "users:dana", Order: order()}), event.ErrInvalid)
	require.ErrorIs(t, shop.Handle(t.Context(), PlaceOrder{By: "user:dana", For: "eve", Order: order()}), event.ErrInvalid)
	require.NoError(t, shop.Handle(t.Context(), PlaceOrder{By: event.Anonymous, Order: order()}))
	assert.Len(t, history(t, shop, eventstore.Query{}), 1)
}

// paidOrder places order T-1 and pays for it, with so many pens and inks on the
// shelves.
func paidOrder(t *testing.T, s *Shop, pens, inks int) {
	t.Helper()
	ctx := event.WithActor(t.Context(), event.System("test"))
	require.NoError(t, s.Receive(ctx, "pen", pens))
	require.NoError(t, s.Receive(ctx, "ink", inks))
	require.NoError(t, s.Place(ctx, order()))
	require.NoError(t, s.runner.RunUntilCaughtUp(ctx))
	require.NoError(t, s.Paid(ctx, Webhook{Sender: "stripe", Order: "T-1", Transaction: "txn_1", Cents: 2400}))
}

// world is all that a confirmation may change.
type world struct {
	Events   int
	List     []OrderRow
	Invoices int
}

func look(t *testing.T, s *Shop) world {
	t.Helper()
	list, err := s.Orders(t.Context(), s.store.Pool())
	require.NoError(t, err)
	invoices, err := s.Invoices(t.Context(), "T-1")
	require.NoError(t, err)
	return world{Events: len(history(t, s, eventstore.Query{})), List: list, Invoices: invoices}
}

func TestAConfirmationIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 2, 1)
	before := look(t, shop)
	_, err := shop.store.Pool().Exec(t.Context(), "INSERT INTO invoices VALUES ('2024-0001', 'by hand', 100)")
	require.NoError(t, err)

	require.ErrorIs(t, shop.Confirm(t.Context(), "T-1", "2024-0001"), ErrInvoice, "after the events were appended")
	assert.Equal(t, before, look(t, shop))

	require.NoError(t, shop.Confirm(t.Context(), "T-1", "2024-0002"))
	after := look(t, shop)
	assert.Equal(t, before.Events+3, after.Events)
	assert.Equal(t, string(Confirmed), after.List[0].Stage)
	assert.Equal(t, 1, after.Invoices)

	require.ErrorIs(t, shop.Confirm(t.Context(), "T-1", "2024-0003"), ErrConfirmed)
	assert.Equal(t, after, look(t, shop))
}

func TestWhatIsNotThereIsNotConfirmed(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 1, 1) // two pens are wanted
	unpaid := order()
	unpaid.Number = "T-2"
	require.NoError(t, shop.Place(t.Context(), unpaid))
	require.NoError(t, shop.runner.RunUntilCaughtUp(t.Context()))
	before := look(t, shop)

	require.ErrorIs(t, shop.Confirm(t.Context(), "T-1", "2024-0001"), ErrSoldOut)
	require.ErrorIs(t, shop.Confirm(t.Context(), "T-2", "2024-0001"), ErrNotPaid)
	require.Error(t, shop.Confirm(t.Context(), "T-3", "2024-0001"))
	assert.Equal(t, before, look(t, shop))
}

// In the transaction everything is there, to others nothing is.
func TestWhatIsNotCommittedIsSeenByNobodyElse(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 2, 1)
	before := look(t, shop)
	tx, err := shop.store.Pool().Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, shop.confirm(t.Context(), tx, shop.store.Within(tx), "T-1", "2024-0001"))

	inside, err := shop.Orders(t.Context(), tx)
	require.NoError(t, err)
	assert.Equal(t, string(Confirmed), inside[0].Stage)
	assert.Equal(t, before, look(t, shop))
	require.NoError(t, tx.Rollback(t.Context()))
	assert.Equal(t, before, look(t, shop))
}

// Of many who confirm one order, one does.
func TestAnOrderIsConfirmedOnce(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 20, 10)
	outcomes := make([]error, 8)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() { outcomes[i] = shop.Confirm(t.Context(), "T-1", uuid.NewString()) })
	}
	all.Wait()

	done := 0
	for _, err := range outcomes {
		if err == nil {
			done++
			continue
		}
		assert.True(t, errors.Is(err, eventstore.ErrConflict) || errors.Is(err, ErrConfirmed), err)
	}
	assert.Equal(t, 1, done)
	pens, err := shop.stocks.Load(t.Context(), StockID("pen"))
	require.NoError(t, err)
	assert.Equal(t, 18, pens.State().Free)
	assert.Equal(t, 1, look(t, shop).Invoices)
}

// All of a confirmation is caused by the payment, and belongs to its chain.
func TestAConfirmationFollowsFromThePayment(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 2, 1)
	require.NoError(t, shop.Confirm(t.Context(), "T-1", "2024-0001"))
	all := history(t, shop, eventstore.Query{Types: []string{"PaymentConfirmed", "OrderConfirmed", "StockReserved"}})
	require.Len(t, all, 4)
	for _, e := range all[1:] {
		assert.Equal(t, all[0].ID, e.CausationID, e.Type)
		assert.Equal(t, all[0].CorrelationID, e.CorrelationID, e.Type)
		assert.Equal(t, event.Service("warehouse"), e.ActorID, e.Type)
	}
}

func TestTheListEqualsAReplay(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	shop := openShop(t, url)
	paidOrder(t, shop, 2, 1)
	require.NoError(t, shop.Confirm(t.Context(), "T-1", "2024-0001"))
	require.NoError(t, shop.PlaceAs(t.Context(), event.User("dana"), OrderPlaced{Number: "T-2", Lines: []Line{{"pen", 1, 700}}}))
	want := look(t, shop).List
	require.Len(t, want, 2)

	_, err := shop.store.Pool().Exec(t.Context(), "UPDATE order_list SET stage = 'lost', cents = 1")
	require.NoError(t, err)
	require.NotEqual(t, want, look(t, shop).List)
	require.NoError(t, postgres.DeployInline(t.Context(), postgres.Config{URL: url})) // taken out
	require.NoError(t, postgres.DeployInline(t.Context(), configuration(url)))        // and given all events
	assert.Equal(t, want, look(t, shop).List)
	require.NoError(t, shop.Ship(t.Context(), event.User("carl"), "T-1", "PKG-1"))
	assert.Equal(t, string(Shipped), look(t, shop).List[0].Stage, "it goes on")
}

func TestTheSalesEqualAReplay(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 2, 1)
	require.NoError(t, shop.PlaceAs(t.Context(), event.User("dana"), OrderPlaced{Number: "T-2", Lines: []Line{{"pen", 1, 600}}}))
	require.NoError(t, shop.runner.RunUntilCaughtUp(t.Context()))
	want := []SalesRow{{"ink", 1, 1000}, {"pen", 3, 2000}}
	got, err := shop.Sales(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want, got)

	require.NoError(t, shop.runner.Rebuild(t.Context(), "sales"))
	got, err = shop.Sales(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestEachOrderIsReactedToOnce(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 2, 1)
	require.NoError(t, shop.runner.RunUntilCaughtUp(t.Context()))
	again, err := open(t.Context(), shop.store.Pool().Config().ConnString(), ticking()) // another process, later
	require.NoError(t, err)
	require.NoError(t, again.runner.RunUntilCaughtUp(t.Context()))
	require.NoError(t, again.Close())
	assert.Len(t, history(t, shop, eventstore.Query{Types: []string{"PaymentRequested"}}), 1)
	require.Error(t, shop.runner.Reset(t.Context(), "payment_requests"), "reactions are not replayed")
}

func TestTheAuditLogEqualsItsReplay(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	paidOrder(t, shop, 2, 1)
	require.NoError(t, shop.Confirm(t.Context(), "T-1", "2024-0001"))
	require.NoError(t, shop.runner.RunUntilCaughtUp(t.Context()))
	comparison, err := audit.Compare(t.Context(), shop.auditLog, audit.Replay(shop.store, audit.Config{Describe: describe}), 10)
	require.NoError(t, err)
	assert.Equal(t, "8 compared, all equal", comparison.String())
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "parcel PKG-1", describe(event.Event{Type: "OrderShipped", SchemaVersion: 1, AggregateType: "Order", Data: []byte(`{"parcel":"PKG-1"}`)}))
	for _, e := range []event.Event{
		{Type: "OrderShipped", SchemaVersion: 1, AggregateType: "Order", Data: []byte(`{`)},
		{Type: "Moved", SchemaVersion: 1, AggregateType: "Order"},
		{Type: "Moved", SchemaVersion: 1, AggregateType: "Shelf"},
	} {
		assert.Equal(t, audit.Describe(e), describe(e))
	}
}

func TestByArticle(t *testing.T) {
	t.Parallel()
	lines := []Line{{"pen", 1, 700}, {"ink", 1, 1000}, {"pen", 2, 700}}
	got := byArticle(slices.Clone(lines))
	assert.Equal(t, []Line{{"ink", 1, 1000}, {"pen", 3, 700}}, got)
}
