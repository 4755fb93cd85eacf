package eventstore_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/eventstore"
)

func TestExpectation(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct {
		expectation eventstore.Expectation
		holds       []uint64
		fails       []uint64
		version     uint64
		exact       bool
	}{
		"any":           {eventstore.Any(), []uint64{0, 1, 7, math.MaxUint64}, nil, 0, false},
		"no stream":     {eventstore.NoStream(), []uint64{0}, []uint64{1, 7, math.MaxUint64}, 0, true},
		"stream exists": {eventstore.StreamExists(), []uint64{1, 7, math.MaxUint64}, []uint64{0}, 0, false},
		"version 7":     {eventstore.Exact(7), []uint64{7}, []uint64{0, 6, 8, math.MaxUint64}, 7, true},
	} {
		assert.Equal(t, text, c.expectation.String())
		for _, actual := range c.holds {
			assert.True(t, c.expectation.Holds(actual), "%s at %d", text, actual)
		}
		for _, actual := range c.fails {
			assert.False(t, c.expectation.Holds(actual), "%s at %d", text, actual)
		}
		version, exact := c.expectation.Version()
		assert.Equal(t, c.version, version, text)
		assert.Equal(t, c.exact, exact, text)
	}
}

func TestExpectationsThatAreTheSame(t *testing.T) {
	t.Parallel()
	assert.Equal(t, eventstore.NoStream(), eventstore.Exact(0))
	assert.Equal(t, eventstore.Expectation{}, eventstore.Any())
	assert.NotEqual(t, eventstore.Exact(1), eventstore.Exact(2))
}
