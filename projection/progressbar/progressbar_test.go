package progressbar_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/projection"
	"github.com/evident-go/evident/projection/progressbar"
)

func TestBarShowsTheSlowest(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	bar := progressbar.New(&out, "rebuild")
	bar.Update(projection.Status{Projection: "slow", Position: 10, Head: 100})
	bar.Update(projection.Status{Projection: "fast", Position: 90, Head: 100})
	assert.Contains(t, out.String(), "rebuild")
	assert.Contains(t, out.String(), "10%")
	assert.NotContains(t, out.String(), "90%")
	bar.Update(projection.Status{Projection: "slow", Position: 100, Head: 100})
	bar.Update(projection.Status{Projection: "fast", Position: 100, Head: 100})
	assert.Contains(t, out.String(), "100%")
}
