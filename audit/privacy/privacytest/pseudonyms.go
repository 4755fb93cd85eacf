package privacytest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/internal/promisetest"
)

const acme = event.TenantID("acme")

func tokenFor(t promisetest.T, s Store, tenant event.TenantID, person string) uuid.UUID {
	t.Helper()
	token, err := s.Pseudonyms.TokenFor(t.Context(), tenant, person)
	require.NoError(t, err)
	require.NotEqual(t, uuid.Nil, token)
	return token
}

func cut(t promisetest.T, s Store, tenant event.TenantID, person string) uuid.UUID {
	t.Helper()
	token, err := s.Pseudonyms.Cut(t.Context(), tenant, person, "request 17")
	require.NoError(t, err)
	return token
}

func list(t promisetest.T, s Store, query privacy.PseudonymQuery) (rows []privacy.Pseudonym) {
	t.Helper()
	for row, err := range s.Pseudonyms.List(t.Context(), query) {
		require.NoError(t, err)
		rows = append(rows, row)
	}
	return rows
}

func sameToken(t promisetest.T, h harness) {
	token := tokenFor(t, h.Store, acme, "jane@example.com")
	assert.Equal(t, token, tokenFor(t, h.Store, acme, "jane@example.com"))
	rows := list(t, h.Store, privacy.PseudonymQuery{})
	assert.Equal(t, []privacy.Pseudonym{{TenantID: acme, Token: token, Person: "jane@example.com", CreatedAt: h.clock.Now()}}, rows)
}

func racingForToken(t promisetest.T, h harness) {
	tokens := make([]uuid.UUID, 8)
	errs := promisetest.Race(len(tokens), func(i int) (err error) {
		tokens[i], err = h.Pseudonyms.TokenFor(t.Context(), acme, "jane")
		return err
	})
	for i, err := range errs {
		require.NoError(t, err)
		assert.Equal(t, tokens[0], tokens[i])
	}
	assert.Len(t, list(t, h.Store, privacy.PseudonymQuery{}), 1)
}

func tokenOverRestarts(t promisetest.T, h harness) {
	if h.Reopen == nil {
		t.Log("what the store keeps ends with it")
		return
	}
	token := tokenFor(t, h.Store, acme, "jane")
	again := h.Reopen()
	assert.Equal(t, token, tokenFor(t, again, acme, "jane"))
	cut(t, again, acme, "jane")
	_, err := h.Pseudonyms.PersonOf(t.Context(), acme, token)
	require.ErrorIs(t, err, privacy.ErrCut)
}

func random(t promisetest.T, h harness) {
	seen := make(map[uuid.UUID]bool)
	for i := range 50 {
		token := tokenFor(t, h.Store, acme, fmt.Sprint("person ", i))
		assert.Equal(t, uuid.Version(4), token.Version(), "nothing in it tells when it was made")
		assert.False(t, seen[token])
		seen[token] = true
	}
}

func neverAgain(t promisetest.T, h harness) {
	seen := make(map[uuid.UUID]bool)
	for range 20 {
		token := tokenFor(t, h.Store, acme, "jane")
		assert.False(t, seen[token])
		seen[token] = true
		assert.Equal(t, token, cut(t, h.Store, acme, "jane"))
	}
	assert.Len(t, list(t, h.Store, privacy.PseudonymQuery{State: privacy.Cut}), 20, "the tombstones stay")
}

func bothWays(t promisetest.T, h harness) {
	token := tokenFor(t, h.Store, acme, "jane")
	person, err := h.Pseudonyms.PersonOf(t.Context(), acme, token)
	require.NoError(t, err)
	assert.Equal(t, "jane", person)
	found, err := h.Pseudonyms.TokenOf(t.Context(), acme, "jane")
	require.NoError(t, err)
	assert.Equal(t, token, found)
}

func exactNames(t promisetest.T, h harness) {
	people := []string{"jane", "Jane", "jane ", "jan\u00e9", "jane\u0301", "雅", "'; DROP TABLE pseudonyms; --"}
	seen := make(map[uuid.UUID]string)
	for _, person := range people {
		seen[tokenFor(t, h.Store, acme, person)] = person
	}
	require.Len(t, seen, len(people))
	for token, want := range seen {
		person, err := h.Pseudonyms.PersonOf(t.Context(), acme, token)
		require.NoError(t, err)
		assert.Equal(t, want, person)
	}
}

func unknownPeople(t promisetest.T, h harness) {
	_, err := h.Pseudonyms.TokenOf(t.Context(), acme, "jane")
	require.ErrorIs(t, err, privacy.ErrUnknown)
	_, err = h.Pseudonyms.PersonOf(t.Context(), acme, uuid.New())
	require.ErrorIs(t, err, privacy.ErrUnknown)
	assert.Empty(t, list(t, h.Store, privacy.PseudonymQuery{}), "asking makes nobody")
}

func tombstone(t promisetest.T, h harness) {
	token, created := tokenFor(t, h.Store, acme, "jane"), h.clock.Now()
	other := tokenFor(t, h.Store, acme, "joe")
	h.clock.advance(time.Hour)
	require.Equal(t, token, cut(t, h.Store, acme, "jane"))

	_, err := h.Pseudonyms.PersonOf(t.Context(), acme, token)
	var gone *privacy.CutError
	require.ErrorAs(t, err, &gone)
	assert.Equal(t, &privacy.CutError{Token: token, CutAt: h.clock.Now(), Reason: "request 17"}, gone)
	_, err = h.Pseudonyms.TokenOf(t.Context(), acme, "jane")
	require.ErrorIs(t, err, privacy.ErrUnknown)
	assert.Equal(t, []privacy.Pseudonym{{TenantID: acme, Token: token, CreatedAt: created, CutAt: h.clock.Now(), Reason: "request 17"}},
		list(t, h.Store, privacy.PseudonymQuery{State: privacy.Cut}))
	person, err := h.Pseudonyms.PersonOf(t.Context(), acme, other)
	require.NoError(t, err)
	assert.Equal(t, "joe", person, "nobody else is cut")
}

func comesAgain(t promisetest.T, h harness) {
	first := tokenFor(t, h.Store, acme, "jane")
	cut(t, h.Store, acme, "jane")
	second := tokenFor(t, h.Store, acme, "jane")
	assert.NotEqual(t, first, second)
	person, err := h.Pseudonyms.PersonOf(t.Context(), acme, second)
	require.NoError(t, err)
	assert.Equal(t, "jane", person)
	_, err = h.Pseudonyms.PersonOf(t.Context(), acme, first)
	require.ErrorIs(t, err, privacy.ErrCut)
}

func racingCutAndToken(t promisetest.T, h harness) {
	tokenFor(t, h.Store, acme, "jane")
	errs := promisetest.Race(8, func(i int) (err error) {
		if i%2 == 0 {
			_, err = h.Pseudonyms.Cut(t.Context(), acme, "jane", "request 17")
		} else {
			_, err = h.Pseudonyms.TokenFor(t.Context(), acme, "jane")
		}
		return err
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, len(list(t, h.Store, privacy.PseudonymQuery{State: privacy.Whole})), 1)
}

func cutTwice(t promisetest.T, h harness) {
	assert.Equal(t, uuid.Nil, cut(t, h.Store, acme, "jane"))
	token := tokenFor(t, h.Store, acme, "jane")
	assert.Equal(t, token, cut(t, h.Store, acme, "jane"))
	before := list(t, h.Store, privacy.PseudonymQuery{})
	h.clock.advance(time.Hour)
	assert.Equal(t, uuid.Nil, cut(t, h.Store, acme, "jane"))
	assert.Equal(t, before, list(t, h.Store, privacy.PseudonymQuery{}))
}

func racingCuts(t promisetest.T, h harness) {
	token := tokenFor(t, h.Store, acme, "jane")
	cuts := make([]uuid.UUID, 6)
	for _, err := range promisetest.Race(len(cuts), func(i int) (err error) {
		cuts[i], err = h.Pseudonyms.Cut(t.Context(), acme, "jane", fmt.Sprint("request ", i))
		return err
	}) {
		require.NoError(t, err)
	}
	slices.SortFunc(cuts, func(a, b uuid.UUID) int { return strings.Compare(b.String(), a.String()) })
	assert.Equal(t, token, cuts[0], "one of them has cut it")
	assert.Equal(t, uuid.Nil, cuts[1], "and only one")
}

func requireHeld(t promisetest.T, h harness, person string, by privacy.Hold) {
	t.Helper()
	_, err := h.Pseudonyms.Cut(t.Context(), acme, person, "request 17")
	require.ErrorIs(t, err, privacy.ErrHeld)
	var held *privacy.HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, by, held.Hold)
	_, err = h.Pseudonyms.TokenOf(t.Context(), acme, person)
	require.NoError(t, err, "nothing was cut")
}

func heldPerson(t promisetest.T, h harness) {
	token := tokenFor(t, h.Store, acme, "jane")
	first := place(t, h.Store, privacy.Scope{TenantID: acme, Person: token})
	second := place(t, h.Store, privacy.Scope{TenantID: acme, Person: token})
	requireHeld(t, h, "jane", first)
	release(t, h.Store, first)
	requireHeld(t, h, "jane", second)
	release(t, h.Store, second)
	assert.Equal(t, token, cut(t, h.Store, acme, "jane"))
}

func heldTenant(t promisetest.T, h harness) {
	token := tokenFor(t, h.Store, acme, "jane")
	hold := place(t, h.Store, privacy.Scope{TenantID: acme})
	requireHeld(t, h, "jane", hold)
	release(t, h.Store, hold)
	assert.Equal(t, token, cut(t, h.Store, acme, "jane"))
}

func heldOthers(t promisetest.T, h harness) {
	token, other := tokenFor(t, h.Store, acme, "jane"), tokenFor(t, h.Store, acme, "joe")
	place(t, h.Store, privacy.Scope{TenantID: acme, Person: other})
	place(t, h.Store, privacy.Scope{TenantID: "other"})
	place(t, h.Store, privacy.Scope{})
	place(t, h.Store, privacy.Scope{TenantID: "other", Person: token})
	place(t, h.Store, privacy.Scope{TenantID: acme, Entity: audit.EntityRef{Type: "Order", ID: "17"}}) // only a log can tell whom it covers
	assert.Equal(t, token, cut(t, h.Store, acme, "jane"))
}

func racingHold(t promisetest.T, h harness) {
	for i := range 12 {
		person := fmt.Sprint("person ", i)
		token := tokenFor(t, h.Store, acme, person)
		var whole bool // once the hold was there
		var cutErr error
		errs := promisetest.Race(2, func(j int) error {
			if j == 0 {
				_, cutErr = h.Pseudonyms.Cut(t.Context(), acme, person, "request 17")
				return nil
			}
			scope := privacy.Scope{TenantID: acme, Person: token}
			if _, err := h.Holds.Place(t.Context(), privacy.Hold{Scope: scope, Reason: "case 4", PlacedBy: event.User("law")}); err != nil {
				return err
			}
			_, err := h.Pseudonyms.TokenOf(t.Context(), acme, person)
			whole = err == nil
			return nil
		})
		require.NoError(t, errs[1])
		_, err := h.Pseudonyms.TokenOf(t.Context(), acme, person)
		if whole {
			require.ErrorIs(t, cutErr, privacy.ErrHeld)
			require.NoError(t, err, "what stood when the hold was placed stands as long as it holds")
		} else {
			require.NoError(t, cutErr)
		}
	}
}

func twoTenants(t promisetest.T, h harness) {
	tenants := []event.TenantID{acme, "Acme", ""}
	tokens := make(map[uuid.UUID]event.TenantID)
	for _, tenant := range tenants {
		tokens[tokenFor(t, h.Store, tenant, "jane")] = tenant
	}
	require.Len(t, tokens, len(tenants))
	for token, own := range tokens {
		for _, tenant := range tenants {
			_, err := h.Pseudonyms.PersonOf(t.Context(), tenant, token)
			if tenant == own {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, privacy.ErrUnknown)
			}
		}
	}
	cut(t, h.Store, acme, "jane")
	assert.Len(t, list(t, h.Store, privacy.PseudonymQuery{State: privacy.Whole}), 2, "that of one tenant was cut")
}

func listing(t promisetest.T, h harness) {
	for i := range 6 {
		tokenFor(t, h.Store, acme, strconv.Itoa(i))
		tokenFor(t, h.Store, "other", strconv.Itoa(i))
	}
	for i := range 2 {
		cut(t, h.Store, acme, strconv.Itoa(i))
	}
	all := list(t, h.Store, privacy.PseudonymQuery{})
	require.Len(t, all, 12)
	require.True(t, slices.IsSortedFunc(all, func(a, b privacy.Pseudonym) int { return bytes.Compare(a.Token[:], b.Token[:]) }))
	for _, query := range []privacy.PseudonymQuery{
		{TenantID: acme},
		{State: privacy.Cut},
		{State: privacy.Whole},
		{TenantID: acme, State: privacy.Whole},
		{TenantID: "other", State: privacy.Cut},
		{After: all[4].Token},
		{TenantID: acme, After: all[4].Token},
		{TenantID: "nobody"},
	} {
		want := slices.DeleteFunc(slices.Clone(all), func(p privacy.Pseudonym) bool { return !query.Matches(p) })
		got := list(t, h.Store, query)
		assert.Len(t, got, len(want), "%+v", query)
		for i := range got {
			assert.Equal(t, want[i], got[i], "%+v", query)
		}
	}
}

func listingPages(t promisetest.T, h harness) {
	const people = 25
	for i := range people {
		tokenFor(t, h.Store, acme, strconv.Itoa(i))
	}
	seen := make(map[uuid.UUID]bool)
	query := privacy.PseudonymQuery{Limit: 4}
	for {
		page := list(t, h.Store, query)
		for _, row := range page {
			require.False(t, seen[row.Token])
			seen[row.Token] = true
			query.After = row.Token
		}
		if len(page) < query.Limit {
			break
		}
	}
	assert.Len(t, seen, people)
}

func listingEnds(t promisetest.T, h harness) {
	for i := range 3 {
		tokenFor(t, h.Store, acme, strconv.Itoa(i))
	}
	for _, err := range h.Pseudonyms.List(t.Context(), privacy.PseudonymQuery{}) {
		require.NoError(t, err)
		break
	}
	tokenFor(t, h.Store, acme, "somebody else")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	errs := 0
	for row, err := range h.Pseudonyms.List(ended, privacy.PseudonymQuery{}) {
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, row)
		errs++
	}
	assert.Equal(t, 1, errs)
}

func cutWhileListed(t promisetest.T, h harness) {
	for i := range 30 {
		tokenFor(t, h.Store, acme, strconv.Itoa(i))
	}
	n := 0
	for row, err := range h.Pseudonyms.List(t.Context(), privacy.PseudonymQuery{State: privacy.Whole}) {
		require.NoError(t, err)
		require.Equal(t, row.Token, cut(t, h.Store, row.TenantID, row.Person))
		n++
	}
	assert.Equal(t, 30, n)
	assert.Empty(t, list(t, h.Store, privacy.PseudonymQuery{State: privacy.Whole}))
}

func badPseudonyms(t promisetest.T, h harness) {
	for _, bad := range []struct {
		field, person, reason string
		tenant                event.TenantID
	}{
		{field: "person", reason: "r"},
		{field: "person", person: "nul\x00", reason: "r"},
		{field: "person", person: "\xff", reason: "r"},
		{field: "tenant_id", person: "jane", tenant: "a\nb", reason: "r"},
		{field: "reason", person: "jane", reason: " "},
		{field: "reason", person: "jane", reason: "nul\x00"},
		{field: "reason", person: "jane", reason: "as JANE wanted"},
	} {
		var invalid *event.InvalidError
		_, err := h.Pseudonyms.Cut(t.Context(), bad.tenant, bad.person, bad.reason)
		require.ErrorAs(t, err, &invalid, "%+v", bad)
		assert.Equal(t, bad.field, invalid.Field)
		if bad.field == "reason" {
			continue
		}
		_, err = h.Pseudonyms.TokenFor(t.Context(), bad.tenant, bad.person)
		require.ErrorAs(t, err, &invalid, "%+v", bad)
		_, err = h.Pseudonyms.TokenOf(t.Context(), bad.tenant, bad.person)
		require.ErrorAs(t, err, &invalid, "%+v", bad)
	}
	_, err := h.Pseudonyms.TokenFor(t.Context(), acme, strings.Repeat("p", privacy.MaxPersonBytes+1))
	require.ErrorIs(t, err, privacy.ErrTooLarge)
	_, err = h.Pseudonyms.PersonOf(t.Context(), acme, uuid.Nil)
	require.ErrorIs(t, err, privacy.ErrInvalid)
	for _, query := range []privacy.PseudonymQuery{{Limit: -1}, {State: 9}, {TenantID: "\x00"}} {
		for _, err := range h.Pseudonyms.List(t.Context(), query) {
			require.ErrorIs(t, err, privacy.ErrInvalid, "%+v", query)
		}
	}
	assert.Empty(t, list(t, h.Store, privacy.PseudonymQuery{}))
}
