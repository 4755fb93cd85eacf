package benchtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/internal/benchtest"
)

func TestATurnThatStandsStillDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		takes := func(each time.Duration) func(n int) {
			return func(n int) {
				if turns++; turns == 3 || turns == 8 {
					<-time.After(time.Minute)
				}
				<-time.After(time.Duration(n) * each)
			}
		}
		ours, theirs := benchtest.Medians(95, 10, takes(2*time.Millisecond), takes(time.Millisecond))
		assert.Equal(t, 20, turns)
		assert.InDelta(t, 190*time.Millisecond, ours, float64(time.Microsecond))
		assert.InDelta(t, 95*time.Millisecond, theirs, float64(time.Microsecond))
	})
}

func TestWhoBeginsChanges(t *testing.T) {
	t.Parallel()
	order := ""
	benchtest.Medians(3, 1, func(int) { order += "o" }, func(int) { order += "t" })
	assert.Equal(t, "ottoot", order)
}
