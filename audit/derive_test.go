package audit_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

func TestFromEvent(t *testing.T) {
	t.Parallel()
	e := created(7, func(e *event.Event) {
		e.TenantID, e.CausationID, e.AggregateVersion = "acme", id(6), 3
		e.Metadata = event.Metadata{"owner_id": "user:bob", "request_id": "req_1", "purpose": "review", "on_behalf_of": "user:carol"}
	})
	assert.Equal(t, audit.Draft{
		ID: e.ID, TenantID: "acme", OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, Position: 7,
		ActorID: "user:alice", OnBehalfOf: "user:carol", OwnerID: "user:bob", Purpose: "review",
		Action: "document.created", Entity: audit.EntityRef{Type: "Document", ID: e.AggregateID.String(), Version: 3}, Outcome: audit.Success,
		Description: "user:alice triggered DocumentCreated on Document", Request: audit.Request{ID: "req_1"},
		CorrelationID: e.CorrelationID, CausationID: id(6), Metadata: e.Metadata,
		Origin: audit.Origin{EventID: e.ID, EventType: "DocumentCreated", Stream: eventstore.StreamOf(e), Version: 3, Position: 7},
	}, derive(t, e, audit.Config{}).Draft())
}

func TestWhoeverWasNotNamedIsAnonymous(t *testing.T) {
	t.Parallel()
	r := derive(t, created(1, func(e *event.Event) { e.ActorID = "" }), audit.Config{})
	assert.Equal(t, event.Anonymous, r.ActorID())
	assert.Equal(t, "anonymous triggered DocumentCreated on Document", r.Description())
	assert.NotContains(t, strings.ToLower(r.String()), "system")
}

func TestConfigReplacesWhatIsDerived(t *testing.T) {
	t.Parallel()
	r := derive(t, created(1, func(e *event.Event) { e.Metadata = event.Metadata{"secret": "x"} }), audit.Config{
		Owner:    func(e event.Event) string { return "owner of " + e.Type },
		Action:   func(event.Event) string { return "create_document" },
		Describe: func(e event.Event) string { return e.ActorID.Name() + " wrote a document" },
		Metadata: func(event.Event) event.Metadata { return event.Metadata{"title": "Notes"} },
	})
	assert.Equal(t, "owner of DocumentCreated", r.OwnerID())
	assert.Equal(t, "create_document", r.Action())
	assert.Equal(t, "alice wrote a document", r.Description())
	assert.Equal(t, event.Metadata{"title": "Notes"}, r.Metadata())

	_, err := audit.FromEvent(created(1), audit.Config{Action: func(event.Event) string { return "Create" }})
	requireInvalid(t, err, "action")
	require.ErrorContains(t, err, id(1).String())
}

func TestAnOwnerNeedNotBeText(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]any{"17": int64(17), "": nil, "true": true, `["a"]`: []any{"a"}} {
		r := derive(t, created(1, func(e *event.Event) { e.Metadata = event.Metadata{"owner_id": value} }), audit.Config{})
		assert.Equal(t, want, r.OwnerID())
	}
}

func TestAnActorWhoIsNoneActsForNobody(t *testing.T) {
	t.Parallel()
	r := derive(t, created(1, func(e *event.Event) { e.Metadata = event.Metadata{"on_behalf_of": "carol"} }), audit.Config{})
	assert.Empty(t, r.OnBehalfOf())
	assert.Equal(t, event.Metadata{"on_behalf_of": "carol"}, r.Metadata(), "what was said is kept")
}

func TestWhatExceedsALimitIsCutAndNamed(t *testing.T) {
	t.Parallel()
	r := derive(t, created(1, func(e *event.Event) {
		e.Metadata = event.Metadata{
			"owner_id": strings.Repeat("é", 200), "user_agent": "a\nb", "long": strings.Repeat("é", 300),
			"list": []any{int64(1), map[string]any{"b": nil, "a": "x"}}, "exact": strings.Repeat("x", 500), "odd": func() {},
		}
	}), audit.Config{})
	assert.Equal(t, []string{"metadata.list", "metadata.long", "metadata.odd", "owner_id", "request.user_agent"}, r.Reduced())
	assert.Equal(t, strings.Repeat("é", 128), r.OwnerID())
	assert.Equal(t, "a\uFFFDb", r.Request().UserAgent)
	assert.Equal(t, strings.Repeat("é", 250), r.Metadata()["long"])
	assert.Equal(t, `[1,{"a":"x","b":null}]`, r.Metadata()["list"])
	assert.Equal(t, strings.Repeat("x", 500), r.Metadata()["exact"])
	assert.Equal(t, "(func())", r.Metadata()["odd"])
}

func TestTheFirstKeysAreKept(t *testing.T) {
	t.Parallel()
	m := event.Metadata{}
	for i := range 80 {
		m[strconv.Itoa(100+i)] = i
	}
	r := derive(t, created(1, func(e *event.Event) { e.Metadata = m }), audit.Config{})
	assert.Equal(t, []string{"metadata"}, r.Reduced())
	assert.Equal(t, slices.Sorted(maps.Keys(m))[:50], slices.Sorted(maps.Keys(r.Metadata())))
}

func TestEveryStoredEventHasARecord(t *testing.T) {
	t.Parallel()
	values := rapid.OneOf(
		rapid.String().AsAny(), rapid.Int64().AsAny(), rapid.Float64().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
		rapid.SliceOfN(rapid.String().AsAny(), 0, 3).AsAny(), rapid.MapOfN(rapid.String(), rapid.String().AsAny(), 0, 3).AsAny())
	keys := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"owner_id", "on_behalf_of", "purpose", "request_id", "user_agent"}))
	rapid.Check(t, func(rt *rapid.T) {
		e := created(rapid.Uint64Range(1, 1<<62).Draw(rt, "position") % (1 << 40))
		e.Metadata = rapid.MapOfN(keys, values, 0, 70).Draw(rt, "metadata")
		if _, err := event.EncodeMetadata(e.Metadata); err != nil {
			return // no store takes it
		}
		r, err := audit.FromEvent(e, audit.Config{})
		if err != nil {
			rt.Fatal(err)
		}
		d := r.Draft()
		d.Metadata = nil // keys of events have rules of their own
		if _, err := audit.NewRecord(d); err != nil {
			rt.Fatalf("a derived record breaks the rules: %v", err)
		}
		again, err := audit.FromEvent(e, audit.Config{})
		if err != nil || !r.Equal(again) {
			rt.Fatalf("deriving is not deterministic: %v", r.Changes(again))
		}
	})
}
