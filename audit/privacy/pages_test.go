package privacy_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/privacy"
)

// numbers returns the numbers from 1 to last, page by page, and what each page
// was asked for.
func numbers(last int) (page func(after, limit int) ([]int, error), asked *[]int) {
	asked = new([]int)
	return func(after, limit int) (found []int, err error) {
		*asked = append(*asked, limit)
		for n := after + 1; n <= last && len(found) < limit; n++ {
			found = append(found, n)
		}
		return found, nil
	}, asked
}

func TestPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		last, most, found int
		asked             []int
	}{
		{last: 0, found: 0, asked: []int{3}},
		{last: 7, found: 7, asked: []int{3, 3, 3}},
		{last: 6, found: 6, asked: []int{3, 3, 3}},
		{last: 7, most: 5, found: 5, asked: []int{3, 2}},
		{last: 7, most: 6, found: 6, asked: []int{3, 3}},
		{last: 4, most: 6, found: 4, asked: []int{3, 3}},
	} {
		page, asked := numbers(c.last)
		var found []int
		for n, err := range privacy.Pages(c.most, 3, page) {
			require.NoError(t, err)
			found = append(found, n)
		}
		assert.Len(t, found, c.found)
		assert.True(t, slices.IsSorted(found))
		assert.Equal(t, c.asked, *asked)
	}
}

func TestPagesEnd(t *testing.T) {
	t.Parallel()
	page, asked := numbers(9)
	for n, err := range privacy.Pages(0, 3, page) {
		require.NoError(t, err)
		if n == 3 {
			break
		}
	}
	assert.Equal(t, []int{3}, *asked, "after a break nothing is asked")

	failed, calls := errors.New("failed"), 0
	for n, err := range privacy.Pages(0, 3, func(int, int) ([]int, error) { calls++; return []int{1}, failed }) {
		require.ErrorIs(t, err, failed)
		assert.Zero(t, n)
	}
	assert.Equal(t, 1, calls)
}
