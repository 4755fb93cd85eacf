package audit_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/memory"
)

func TestCompareEqualLogs(t *testing.T) {
	t.Parallel()
	a, b := logOf(t, created(1), created(5), created(9)), logOf(t, created(9), created(1), created(5))
	comparison, err := audit.Compare(t.Context(), a, b, 10)
	require.NoError(t, err)
	assert.True(t, comparison.Equal())
	assert.Equal(t, "3 compared, all equal", comparison.String())

	comparison, err = audit.Compare(t.Context(), logOf(t), logOf(t), 10)
	require.NoError(t, err)
	assert.Equal(t, audit.Comparison{}, comparison)
}

func TestCompareNamesEachDifference(t *testing.T) {
	t.Parallel()
	forged := func(e *event.Event) { e.ActorID, e.TenantID = "user:mallory", "acme" }
	a := logOf(t, created(1), created(2), created(3), created(7))
	b := logOf(t, created(2, forged), created(3), created(5), created(8), created(9))
	comparison, err := audit.Compare(t.Context(), a, b, 4)
	require.NoError(t, err)
	assert.False(t, comparison.Equal())
	assert.Equal(t, `7 compared, 6 differ
position 1: only in the first
position 2: tenant_id "" is "acme" in the other; actor_id "user:alice" is "user:mallory" in the other; `+
		`description "user:alice triggered DocumentCreated on Document" is "user:mallory triggered DocumentCreated on Document" in the other; `+
		`origin.stream "Document/01900000-0000-7000-8000-0000000003ea" is "acme/Document/01900000-0000-7000-8000-0000000003ea" in the other
position 5: only in the second
position 7: only in the first
and 2 more`, comparison.String())

	comparison, err = audit.Compare(t.Context(), a.AsOf(3), b.AsOf(3), 0)
	require.NoError(t, err)
	assert.Equal(t, audit.Comparison{Compared: 3, Differing: 2}, comparison)
}

func TestCompareActivities(t *testing.T) {
	t.Parallel()
	a, b := memory.NewUserActivity(), memory.NewUserActivity()
	for position := range uint64(5) {
		require.NoError(t, a.Apply(t.Context(), nil, created(position+1)))
		require.NoError(t, b.Apply(t.Context(), nil, created(position+1)))
	}
	comparison, err := audit.CompareActivities(t.Context(), a, b, 3)
	require.NoError(t, err)
	assert.Equal(t, audit.Comparison{Compared: 5}, comparison)
	require.NoError(t, b.Apply(t.Context(), nil, created(6)))
	comparison, err = audit.CompareActivities(t.Context(), a, b, 3)
	require.NoError(t, err)
	assert.Equal(t, []audit.Difference{{Position: 6, Missing: audit.A}}, comparison.Differences)
}

// finder is a function that is an [audit.Finder].
type finder func(yield func(audit.ActivityRecord, error) bool)

func (f finder) Find(context.Context, audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return iter.Seq2[audit.ActivityRecord, error](f)
}

func (f finder) FindActions(context.Context, audit.ActionQuery) iter.Seq2[audit.ActionUse, error] {
	return audit.GroupActions(iter.Seq2[audit.ActivityRecord, error](f), audit.Page{})
}

func TestCompareSaysWhichLogFailed(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk on fire")
	failing := finder(broken{errDisk}.records)
	_, err := audit.Compare(t.Context(), failing, logOf(t), 1)
	require.ErrorIs(t, err, errDisk)
	require.ErrorContains(t, err, "first log")
	_, err = audit.Compare(t.Context(), logOf(t, created(1)), failing, 1)
	require.ErrorIs(t, err, errDisk)
	require.ErrorContains(t, err, "second log")
}

// TestCompareHoldsOneRecordOfEach counts how far the logs are read ahead.
func TestCompareHoldsOneRecordOfEach(t *testing.T) {
	t.Parallel()
	var open, most int
	counted := func(yield func(audit.ActivityRecord, error) bool) {
		for position := range uint64(100) {
			open++
			most = max(most, open)
			d := fullDraft()
			d.Position = position + 1
			if !yield(audit.Restore(d), nil) {
				return
			}
			open--
		}
	}
	comparison, err := audit.Compare(t.Context(), finder(counted), finder(counted), 1)
	require.NoError(t, err)
	assert.EqualValues(t, 100, comparison.Compared)
	assert.LessOrEqual(t, most, 2)
}
