package audit_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// TestEveryFieldCounts changes one field after the other, so that a new one
// cannot be forgotten.
func TestEveryFieldCounts(t *testing.T) {
	t.Parallel()
	record := audit.Restore(fullDraft())
	require.True(t, record.Equal(audit.Restore(fullDraft())))
	require.Empty(t, record.Changes(audit.Restore(fullDraft())))
	draft := fullDraft()
	alterEach(t, reflect.ValueOf(&draft).Elem(), "draft", func(name string) {
		other := audit.Restore(draft)
		assert.False(t, record.Equal(other), name)
		assert.Len(t, record.Changes(other), 1, name)
	})
	require.Equal(t, fullDraft(), draft)
}

// alterEach alters one field after the other, and puts it back after a look.
func alterEach(t *testing.T, v reflect.Value, name string, look func(name string)) {
	t.Helper()
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]() {
		for i := range v.NumField() {
			alterEach(t, v.Field(i), name+"."+v.Type().Field(i).Name, look)
		}
		return
	}
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	alter(t, v)
	look(name)
	v.Set(was)
}

func alter(t *testing.T, v reflect.Value) {
	t.Helper()
	switch value := v.Addr().Interface().(type) {
	case *time.Time:
		*value = value.Add(time.Microsecond)
	case *uuid.UUID:
		value[15]++
	case *event.Metadata:
		*value = event.Metadata{"n": 1.0}
	case *[]string:
		*value = append(*value, "x")
	case *uint64:
		*value++
	default:
		require.Equal(t, reflect.String, v.Kind())
		v.SetString(v.String() + "x")
	}
}

func TestEveryFieldOfAnActivityCounts(t *testing.T) {
	t.Parallel()
	activity := audit.ActivityOf(created(1, func(e *event.Event) { e.TenantID = "acme" }))
	other := activity
	alterEach(t, reflect.ValueOf(&other).Elem(), "activity", func(name string) {
		assert.Len(t, activity.Changes(other), 1, name)
	})
	assert.Empty(t, activity.Changes(other))
}

func TestChangesSayWhatIsWhere(t *testing.T) {
	t.Parallel()
	d := fullDraft()
	d.CausationID, d.RecordedAt, d.Metadata = uuid.Nil, time.Time{}, nil
	var texts []string
	for _, change := range audit.Restore(fullDraft()).Changes(audit.Restore(d)) {
		texts = append(texts, change.String())
	}
	assert.Equal(t, []string{
		`recorded_at "2024-01-15T10:30:01Z" is "" in the other`,
		`causation_id "01900000-0000-7000-8000-000000000003" is "" in the other`,
		`metadata "{\"n\":1}" is "{}" in the other`,
	}, texts)
}

func TestMetadataIsComparedWithItsTypes(t *testing.T) {
	t.Parallel()
	of := func(value any) audit.ActivityRecord {
		d := fullDraft()
		d.Metadata = event.Metadata{"n": value}
		return audit.Restore(d)
	}
	list, object := []any{int64(1), "x"}, map[string]any{"a": nil}
	assert.True(t, of(list).Equal(of([]any{int64(1), "x"})), "rows that were tampered with are compared, too")
	for _, pair := range [][2]any{{int64(1), 1.0}, {int64(1), "1"}, {nil, ""}, {list, object}, {list, `[1,"x"]`}, {math.NaN(), math.NaN()}} {
		assert.False(t, of(pair[0]).Equal(of(pair[1])), "%v", pair)
	}
	changes := of(math.NaN()).Changes(of(int64(1)))
	require.Len(t, changes, 1)
	assert.Contains(t, changes[0].A, "not a finite number")
}
