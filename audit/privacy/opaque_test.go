package privacy_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func TestLooksLike(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]privacy.Likeness{
		"jane@example.com":                     privacy.LikeEmail,
		"jane%40example.com":                   privacy.LikeEmail,
		"+49 170 1234567":                      privacy.LikePhone,
		"tel:+1-202-555-0101":                  privacy.LikePhone,
		"192.0.2.7":                            privacy.LikeAddress,
		"2001:db8::1":                          privacy.LikeAddress,
		"Jane Doe":                             privacy.LikeName,
		"DOE, Jane":                            privacy.LikeName,
		"Jane_M_Doe":                           privacy.LikeName,
		"Jane M. Doe":                          privacy.LikeName,
		"jane.doe":                             privacy.LikeName,
		"Seán O'Brien":                         privacy.LikeName,
		"Zoë-Élise Müller":                     privacy.LikeName,
		"550e8400-e29b-41d4-a716-446655440000": "",
		"7f3a":                                 "",
		"alice":                                "",
		"key_abc123":                           "",
		"12345678901":                          "",
		"+12":                                  "",
		"+1 call me":                           "",
		"payment-processor":                    "",
		"v1.2":                                 "",
		"Jane D":                               "",
		"a b c d e":                            "",
		"":                                     "",
		"...":                                  "",
	} {
		assert.Equal(t, want, privacy.LooksLike(id), id)
	}
}

func TestIdsThatAreNotOpaqueAreRefused(t *testing.T) {
	t.Parallel()
	store, err := memory.Open(t.Context(), memory.Config{})
	require.NoError(t, err)
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{Before: []audit.BeforeAppend{privacy.RequireOpaque()}})
	require.NoError(t, err)
	good := audit.Draft{ActorID: event.User("7f3a"), Action: "a.b", Entity: audit.EntityRef{Type: "Order", ID: "17"}}
	for field, spoil := range map[string]func(d *audit.Draft){
		"actor_id":     func(d *audit.Draft) { d.ActorID = event.User("jane@example.com") },
		"on_behalf_of": func(d *audit.Draft) { d.OnBehalfOf = event.User("Jane Doe") },
		"owner_id":     func(d *audit.Draft) { d.OwnerID = "+49 170 1234567" },
		"entity.id":    func(d *audit.Draft) { d.Entity.ID = "jane@example.com" },
	} {
		draft := good
		spoil(&draft)
		_, err := log.Append(t.Context(), draft)
		require.ErrorIs(t, err, audit.ErrVetoed)
		require.ErrorIs(t, err, privacy.ErrNotOpaque)
		var refused *privacy.NotOpaqueError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, field, refused.Field)
		assert.NotContains(t, refused.Error(), "jane", "it can be logged")
	}
	for _, fine := range []func(d *audit.Draft){
		func(*audit.Draft) {},
		func(d *audit.Draft) { d.ActorID = event.Service("Payment Processor") },
		func(d *audit.Draft) { d.ActorID = event.Anonymous },
		func(d *audit.Draft) { d.Entity.ID = "192.0.2.7" },
		func(d *audit.Draft) { d.Entity.ID = "Annual Report" },
		func(d *audit.Draft) { d.OwnerID = "user:7f3a" },
	} {
		draft := good
		fine(&draft)
		_, err := log.Append(t.Context(), draft)
		require.NoError(t, err)
	}
}

func TestLintListsIdsThatAreNotOpaque(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.act(t, audit.Draft{ActorID: event.User("7f3a"), Action: "a.b"})
	report, err := privacy.Lint(t.Context(), o.log)
	require.NoError(t, err)
	assert.True(t, report.IsClean())

	o.act(t, audit.Draft{ActorID: event.User("jane@example.com"), OwnerID: "Jane Doe", Action: "a.b"})
	emit(t, o.store, event.User("joe"), "{}", event.Metadata{"owner_id": "user:joe@example.com"})
	o.act(t, audit.Draft{ActorID: event.User("jane@example.com"), Action: "a.b"})
	report, err = privacy.Lint(t.Context(), o.log)
	require.NoError(t, err)
	assert.Equal(t, privacy.LintReport{Records: 4, Affected: 3, Findings: []privacy.Finding{
		{Field: "actor_id", ID: "user:jane@example.com", Like: privacy.LikeEmail, Records: 2, First: 2, Last: 4},
		{Field: "owner_id", ID: "Jane Doe", Like: privacy.LikeName, Records: 1, First: 2, Last: 2},
		{Field: "owner_id", ID: "user:joe@example.com", Like: privacy.LikeEmail, Records: 1, First: 3, Last: 3},
	}}, report)
	assert.False(t, report.IsClean())
	_, err = privacy.Lint(t.Context(), brokenFinder{o.log, 1})
	require.ErrorIs(t, err, errBroken)
}

func TestLintListsSoManyIdsAndCountsTheOthers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for i := range privacy.MaxFindings + 3 {
		o.act(t, audit.Draft{ActorID: event.User(fmt.Sprintf("p%d@example.com", i)), Action: "a.b"})
	}
	report, err := privacy.Lint(t.Context(), o.log)
	require.NoError(t, err)
	assert.Len(t, report.Findings, privacy.MaxFindings)
	assert.Equal(t, uint64(3), report.Unlisted)
	assert.Equal(t, uint64(privacy.MaxFindings+3), report.Affected)
}
