package privacytest_test

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/audit/privacy/privacytest"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func open(t *testing.T, now func() time.Time) privacytest.Store {
	t.Helper()
	store, err := memory.Open(t.Context(), memory.Config{Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s := privacytest.Store{Pseudonyms: store.Pseudonyms(), Holds: store.Holds()}
	s.Reopen = func() privacytest.Store { return s }
	return s
}

func TestTheSuitesSayWhatTheContractsSay(t *testing.T) {
	t.Parallel()
	privacytest.RequireSameWords(t)
}

func TestTheReferenceKeepsThePromises(t *testing.T) {
	t.Parallel()
	privacytest.RunPseudonyms(t, open)
	privacytest.RunHolds(t, open)
}

// forgetful hands out what it makes, and keeps nothing.
type forgetful struct{ privacy.Pseudonyms }

func (forgetful) TokenFor(context.Context, event.TenantID, string) (uuid.UUID, error) {
	return uuid.New(), nil
}

// remembering does not cut.
type remembering struct{ privacy.Pseudonyms }

func (r remembering) Cut(ctx context.Context, tenant event.TenantID, person, reason string) (uuid.UUID, error) {
	if err := privacy.CheckCut(tenant, person, reason); err != nil {
		return uuid.Nil, err
	}
	return r.TokenOf(ctx, tenant, person)
}

// backwards lists in another order, and all on every page.
type backwards struct{ privacy.Pseudonyms }

func (b backwards) List(ctx context.Context, query privacy.PseudonymQuery) iter.Seq2[privacy.Pseudonym, error] {
	return func(yield func(privacy.Pseudonym, error) bool) {
		var all []privacy.Pseudonym
		for row, err := range b.Pseudonyms.List(ctx, privacy.PseudonymQuery{TenantID: query.TenantID}) {
			if err != nil {
				yield(row, err)
				return
			}
			all = append(all, row)
		}
		for _, row := range slices.Backward(all) {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// overtaking does not look for holds.
type overtaking struct{ privacy.Pseudonyms }

func (o overtaking) Cut(ctx context.Context, tenant event.TenantID, person, reason string) (uuid.UUID, error) {
	free, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		return uuid.Nil, err
	}
	if token, err := o.TokenOf(ctx, tenant, person); err == nil {
		return token, nil
	}
	return free.Pseudonyms().Cut(ctx, tenant, person, reason)
}

func TestTheSuiteFindsBrokenPseudonyms(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		breaks func(privacy.Pseudonyms) privacy.Pseudonyms
		want   []string
	}{
		"forgetful":   {func(p privacy.Pseudonyms) privacy.Pseudonyms { return forgetful{p} }, []string{"the same token", "racing for a token", "both ways", "a tombstone stays"}},
		"remembering": {func(p privacy.Pseudonyms) privacy.Pseudonyms { return remembering{p} }, []string{"a tombstone stays", "whoever comes again", "cut twice", "never again"}},
		"backwards":   {func(p privacy.Pseudonyms) privacy.Pseudonyms { return backwards{p} }, []string{"conditions and order", "pages"}},
		"overtaking":  {func(p privacy.Pseudonyms) privacy.Pseudonyms { return overtaking{p} }, []string{"a hold on the person", "a hold on the tenant"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := func(t *testing.T, now func() time.Time) privacytest.Store {
				t.Helper()
				s := open(t, now)
				s.Pseudonyms = test.breaks(s.Pseudonyms)
				return s
			}
			if name == "backwards" {
				assert.Equal(t, test.want[:1], privacytest.FailingPseudonyms(t, broken, test.want[0]))
				return
			}
			assert.ElementsMatch(t, test.want, privacytest.FailingPseudonyms(t, broken, test.want...))
		})
	}
}

// endless never ends a hold.
type endless struct{ privacy.Holds }

func (e endless) Release(ctx context.Context, tenant event.TenantID, id uuid.UUID, by event.ActorID, reason string) (privacy.Hold, error) {
	if err := privacy.CheckRelease(tenant, id, by, reason); err != nil {
		return privacy.Hold{}, err
	}
	for hold, err := range e.List(ctx, privacy.HoldQuery{}) {
		if err != nil || hold.ID == id {
			return hold, err
		}
	}
	return privacy.Hold{}, privacy.ErrUnknown
}

// piling stores a hold once more each time.
type piling struct{ privacy.Holds }

func (p piling) Place(ctx context.Context, hold privacy.Hold) (privacy.Hold, error) {
	hold.ID = uuid.Nil
	return p.Holds.Place(ctx, hold)
}

func TestTheSuiteFindsBrokenHolds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		breaks func(privacy.Holds) privacy.Holds
		want   []string
	}{
		"endless": {func(h privacy.Holds) privacy.Holds { return endless{h} }, []string{"placed and released", "released once", "a released hold", "another tenant's"}},
		"piling":  {func(h privacy.Holds) privacy.Holds { return piling{h} }, []string{"placed again", "racing to place"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.ElementsMatch(t, test.want, privacytest.FailingHolds(t, func(t *testing.T, now func() time.Time) privacytest.Store {
				t.Helper()
				s := open(t, now)
				s.Holds = test.breaks(s.Holds)
				return s
			}, test.want...))
		})
	}
}
