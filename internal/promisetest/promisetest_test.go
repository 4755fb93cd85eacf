package promisetest_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/promisetest"
)

func promises() []promisetest.Promise[int] {
	return []promisetest.Promise[int]{
		{Words: "1 It is even", Clauses: []promisetest.Clause[int]{
			{Name: "even", Check: func(t promisetest.T, n int) { require.Zero(t, n%2) }},
		}},
		{Words: "2 It is small", Clauses: []promisetest.Clause[int]{
			{Name: "below ten", Check: func(t promisetest.T, n int) { assert.Less(t, n, 10) }},
			{Name: "below twenty", Check: func(t promisetest.T, n int) { assert.Less(t, n, 20) }},
		}},
	}
}

func TestRunRunsEveryClause(t *testing.T) {
	t.Parallel()
	opened := make(chan struct{}, 8)
	t.Run("suite", func(t *testing.T) {
		promisetest.Run(t, promises(), func(*testing.T) int {
			opened <- struct{}{}
			return 4
		})
	})
	assert.Len(t, opened, 3)
}

func TestFailingNamesTheClausesThatFail(t *testing.T) {
	t.Parallel()
	of := func(n int, names ...string) []string {
		return promisetest.Failing(t, promises(), func(*testing.T) int { return n }, names...)
	}
	assert.Empty(t, of(4))
	assert.Equal(t, []string{"even"}, of(3))
	assert.Equal(t, []string{"below ten"}, of(12))
	assert.Equal(t, []string{"even", "below ten", "below twenty"}, of(21))
	assert.Equal(t, []string{"below ten"}, of(21, "below ten"))
}

func TestRaceReturnsEveryError(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	errs := promisetest.Race(4, func(i int) error {
		if i%2 == 1 {
			return odd
		}
		return nil
	})
	assert.Equal(t, []error{nil, odd, nil, odd}, errs)
}

func TestStatedReadsTheDocComment(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "port.go")
	require.NoError(t, os.WriteFile(file, []byte(`package port

import "io"

type Other struct{}

// Numbers are kept.
//
// Promises:
//
//  1. It is even.
//     Always, [io.Reader] or not.
//  2. It is small.
//
// All of it is safe.
type Numbers interface{ io.Reader }
`), 0o600))
	assert.Equal(t, []string{"1 It is even. Always, [io.Reader] or not.", "2 It is small."}, promisetest.Stated(t, file, "Numbers"))
	assert.Empty(t, promisetest.Stated(t, file, "Other"))
	assert.Empty(t, promisetest.Stated(t, file, "Nobody"))
	promisetest.RequireSameWords(t, promisetest.Stated(t, file, "Numbers"), promises())
}
