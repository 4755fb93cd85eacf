package event_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/event"
)

func TestJSONIsExact(t *testing.T) {
	t.Parallel()
	data, err := event.JSON{}.Encode(map[string]any{"b": "<a href='x'>&</a>", "a": []int{1}, "n": nil})
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":[1],"b":"<a href='x'>&</a>","n":null}`, string(data), "no escapes for HTML, no line end")

	var back Created
	require.NoError(t, event.JSON{}.Decode([]byte(`{"title":"t","unknown":{"x":1}}`), &back))
	assert.Equal(t, Created{Title: "t"}, back)
	require.Error(t, event.JSON{}.Decode([]byte(`{`), &back))
	_, err = event.JSON{}.Encode(make(chan int))
	require.Error(t, err)
}

func TestJSONKeepsTextAsItWasWritten(t *testing.T) {
	t.Parallel()
	data, err := event.JSON{}.Encode("<b> & \u00e9")
	require.NoError(t, err)
	assert.Equal(t, []byte(`"<b> & é"`), data)
}
