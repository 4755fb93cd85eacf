package main

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/golden"
	"github.com/evident-go/evident/internal/pgtest"
)

// ticking returns a clock on which a minute passes between any two looks.
func ticking() func() time.Time {
	var mu sync.Mutex
	now := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Minute)
		return now
	}
}

// newShop opens a shop that the test has to itself.
func newShop(t *testing.T) *Shop {
	t.Helper()
	return openShop(t, pgtest.URL(t))
}

func openShop(t *testing.T, url string) *Shop {
	t.Helper()
	shop, err := open(t.Context(), url, ticking())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, shop.Close()) })
	return shop
}

func TestOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, pgtest.URL(t), ticking()))
	golden.Compare(t, out.Bytes(), "testdata/output.txt")
}

// Twice on one server, since each run has a database of its own.
func TestOnAServerThatIsThere(t *testing.T) {
	t.Parallel()
	for range 2 {
		var out bytes.Buffer
		require.NoError(t, start(t.Context(), &out, io.Discard, []string{"-url", pgtest.URL(t)}))
		assert.Contains(t, out.String(), "OrderShipped by user:carl: parcel PKG-1")
	}
}

func TestOnAServerOfItsOwn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, start(t.Context(), &out, io.Discard, []string{"-url="}))
	assert.Contains(t, out.String(), "OrderShipped by user:carl: parcel PKG-1")
}

func TestWithoutPostgreSQLItSaysWhatToDo(t *testing.T) {
	t.Parallel()
	err := start(t.Context(), io.Discard, io.Discard, []string{"-url="}, pgtest.Programs(t.TempDir()))
	require.ErrorContains(t, err, "run `make postgres`")
	require.ErrorContains(t, err, "-url")
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	var usage bytes.Buffer
	require.Error(t, start(t.Context(), io.Discard, &usage, []string{"-port=1"}))
	assert.Contains(t, usage.String(), "-url URL")
	require.Error(t, start(t.Context(), io.Discard, io.Discard, []string{"-url=postgres://127.0.0.1:1/none"}))
}
