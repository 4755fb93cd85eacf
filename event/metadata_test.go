package event_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/evident-go/evident/event"
)

func roundTrip(t require.TestingT, m event.Metadata) event.Metadata {
	data, err := event.EncodeMetadata(m)
	require.NoError(t, err)
	back, err := event.DecodeMetadata(data)
	require.NoError(t, err)
	return back
}

func TestMetadataKeepsTypes(t *testing.T) {
	t.Parallel()
	given := event.Metadata{
		"nil": nil, "bool": true, "text": "<b>&</b> ☃\u2028", "empty": "",
		"int": 7, "int8": int8(-8), "int64": int64(math.MinInt64), "uint32": uint32(32), "uint64": uint64(math.MaxUint64),
		"whole": 3.0, "float": 0.1, "tiny": 5e-324, "huge": 1e300, "float32": float32(0.5), "negative zero": math.Copysign(0, -1),
		"list": []any{1, "a", nil, 2.0, []any{}}, "strings": []string{"a", "b"},
		"object": map[string]any{"deep": map[string]any{"n": 1}}, "metadata": event.Metadata{"n": 1.0},
	}
	want := event.Metadata{
		"nil": nil, "bool": true, "text": "<b>&</b> ☃\u2028", "empty": "",
		"int": int64(7), "int8": int64(-8), "int64": int64(math.MinInt64), "uint32": int64(32), "uint64": uint64(math.MaxUint64),
		"whole": 3.0, "float": 0.1, "tiny": 5e-324, "huge": 1e300, "float32": 0.5, "negative zero": math.Copysign(0, -1),
		"list": []any{int64(1), "a", nil, 2.0, []any{}}, "strings": []any{"a", "b"},
		"object": map[string]any{"deep": map[string]any{"n": int64(1)}}, "metadata": map[string]any{"n": 1.0},
	}
	assert.Equal(t, want, roundTrip(t, given))
	assert.Equal(t, 7, given["int"], "what was given is as it was")
}

func TestMetadataForm(t *testing.T) {
	t.Parallel()
	data, err := event.EncodeMetadata(event.Metadata{"b": 1.0, "a": "<&>", "c": []any{1}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":"<&>","b":1.0,"c":[1]}`, string(data))
	for _, empty := range []event.Metadata{nil, {}} {
		data, err := event.EncodeMetadata(empty)
		require.NoError(t, err)
		assert.Nil(t, data)
	}
	for _, empty := range [][]byte{nil, {}} {
		m, err := event.DecodeMetadata(empty)
		require.NoError(t, err)
		assert.Nil(t, m)
	}
}

func TestMetadataRefused(t *testing.T) {
	t.Parallel()
	endless := event.Metadata{}
	endless["self"] = map[string]any(endless)
	list := make([]any, 1)
	list[0] = list
	for name, test := range map[string]struct {
		metadata event.Metadata
		target   error
		field    string
	}{
		"channel":       {event.Metadata{"a": make(chan int)}, event.ErrInvalid, "metadata.a"},
		"struct":        {event.Metadata{"a": struct{}{}}, event.ErrInvalid, "metadata.a"},
		"nested":        {event.Metadata{"a": []any{1, map[string]any{"b": func() {}}}}, event.ErrInvalid, "metadata.a[1].b"},
		"not a number":  {event.Metadata{"a": math.NaN()}, event.ErrInvalid, "metadata.a"},
		"infinite":      {event.Metadata{"a": float32(math.Inf(1))}, event.ErrInvalid, "metadata.a"},
		"invalid UTF-8": {event.Metadata{"a": "\xff"}, event.ErrInvalid, "metadata.a"},
		"NUL":           {event.Metadata{"a": []string{"a\x00b"}}, event.ErrInvalid, "metadata.a[0]"},
		"bad key":       {event.Metadata{"a\x00": 1}, event.ErrInvalid, "metadata key"},
		"long key":      {event.Metadata{strings.Repeat("k", event.MaxNameBytes+1): 1}, event.ErrTooLarge, "metadata key"},
		"too large":     {event.Metadata{"a": strings.Repeat("x", event.MaxMetadataBytes)}, event.ErrTooLarge, "metadata"},
		"endless":       {endless, event.ErrTooLarge, "metadata"},
		"endless list":  {event.Metadata{"a": list}, event.ErrTooLarge, "metadata"},
	} {
		data, err := event.EncodeMetadata(test.metadata)
		require.ErrorIs(t, err, test.target, name)
		assert.Contains(t, err.Error(), test.field, name)
		assert.Nil(t, data)
	}
}

func TestDecodeMetadataRefuses(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"{", "[]", `{"a":1} {}`, `{"a":1}x`, "7", `{"a":01}`} {
		_, err := event.DecodeMetadata([]byte(data))
		require.Error(t, err, data)
	}
	m, err := event.DecodeMetadata([]byte(`{"beyond":1e999,"long":123456789012345678901234567890}`))
	require.NoError(t, err)
	assert.Equal(t, "1e999", m["beyond"], "every digit rather than an invented number")
	assert.InEpsilon(t, 1.2345678901234568e29, m["long"], 1e-15)
}

// values draws what metadata may hold, in the form in which it comes back.
func values(depth int) *rapid.Generator[any] {
	text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 }))
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		text.AsAny(),
		rapid.Int64().AsAny(),
		rapid.Uint64Min(math.MaxInt64 + 1).AsAny(),
		rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).AsAny(),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.SliceOfN(values(depth-1), 0, 4).AsAny(),
			rapid.MapOfN(keys(), values(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(kinds...)
}

func keys() *rapid.Generator[string] { return rapid.StringMatching(`[a-zä ☃]{1,8}`) }

func TestMetadataRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := event.Metadata(rapid.MapOfN(keys(), values(3), 1, 5).Draw(t, "metadata"))
		assert.Equal(t, m, roundTrip(t, m))
	})
}

func FuzzDecodeMetadata(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1}`, `{"a":1.0,"b":[null,true,{"c":"x"}]}`, `{"a":1e999}`, `nul`, `{"a":-0}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := event.DecodeMetadata(data)
		if err != nil {
			return
		}
		again, err := event.EncodeMetadata(m)
		if err != nil {
			return // what was not ours may hold what ours may not
		}
		back, err := event.DecodeMetadata(again)
		require.NoError(t, err)
		if len(m) > 0 {
			assert.Equal(t, m, back)
		}
	})
}
