package audit_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

func TestValidateAction(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"create_task", "document.update", "a", "a1_.b2.c.d.e", "x__y", strings.Repeat("a", 256)} {
		require.NoError(t, audit.ValidateAction(action), action)
	}
	for _, action := range []string{
		"", ".", "a.", ".a", "a..b", "A", "aB", "1a", "_a", "a-b", "a b", "é", "a.b.c.d.e.f", "a\n", "a.1", strings.Repeat("a", 257),
	} {
		require.Error(t, audit.ValidateAction(action), action)
	}
}

func TestActionOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ aggregate, event, action string }{
		{"Document", "DocumentCreated", "document.created"},
		{"Document", "Created", "document.created"},
		{"Document", "Document", "document.document"},
		{"Document", "Documented", "document.documented"},
		{"Document", "DocumentsMerged", "document.documents_merged"},
		{"Order", "OrderItemAdded", "order.item_added"},
		{"OrderItem", "OrderItemAdded", "order_item.added"},
		{"OrderItem", "OrderAdded", "order_item.order_added"},
		{"HTTPRoute", "OwnerChanged", "http_route.owner_changed"},
		{"document", "document.created", "document.created"},
		{"my-app.Invoice", "invoice_paid", "my_app_invoice.invoice_paid"},
		{"User", "User2FAEnabled", "user.user2_fa_enabled"},
		{"2FA", "Enabled", "n2_fa.enabled"},
		{"User", "UserMovedV2", "user.moved_v2"},
		{"Café", "Ouvert", "caf_u00e9.ouvert"},
		{"事件", "事件作成", "u4e8b_u4ef6.u4f5c_u6210"},
		{"---", "!", "x2d2d2d.x21"},
		{"📄", "📄Renamed", "u1f4c4.renamed"},
	} {
		assert.Equal(t, c.action, audit.ActionOf(event.Event{AggregateType: c.aggregate, Type: c.event}), c)
	}
}

func TestEveryEventHasAValidAction(t *testing.T) {
	t.Parallel()
	names := rapid.StringN(1, -1, event.MaxNameBytes).Filter(func(s string) bool { return event.ValidateName("name", s) == nil })
	rapid.Check(t, func(t *rapid.T) {
		e := event.Event{ID: uuid.New(), AggregateType: names.Draw(t, "aggregate"), Type: names.Draw(t, "event")}
		if err := audit.ValidateAction(audit.ActionOf(e)); err != nil {
			t.Fatal(err)
		}
	})
}
