package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/evident-go/evident/internal/golden"
)

// untilServing is an output that interrupts the program when it serves.
type untilServing struct {
	mu        sync.Mutex
	text      bytes.Buffer
	interrupt context.CancelFunc
}

func (o *untilServing) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if bytes.Contains(p, []byte("Serving until interrupted")) {
		o.interrupt()
	}
	return o.text.Write(p)
}

// outputOf runs a program until it serves, and then interrupts it.
func outputOf(t *testing.T, program func(ctx context.Context, out io.Writer) error) []byte {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &untilServing{interrupt: interrupt}
	require.NoError(t, program(ctx, out))
	return out.text.Bytes()
}

// running is the program without its arguments.
func running(config Config) func(ctx context.Context, out io.Writer) error {
	return func(ctx context.Context, out io.Writer) error { return run(ctx, out, config, "127.0.0.1:0") }
}

// same replaces what is different each time.
func same(output []byte) []byte {
	for _, r := range []struct{ pattern, with string }{
		{`127\.0\.0\.1:\d+`, "127.0.0.1:8080"},
		{`\d{4}-\d\d-\d\d \d\d:\d\d: `, "2024-01-15 10:30: "},
		{`\b[A-Z2-7]{26}\b`, "PASSWORD"},
	} {
		output = regexp.MustCompile(r.pattern).ReplaceAll(output, []byte(r.with))
	}
	ids := map[string]string{}
	return regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`).ReplaceAllFunc(output, func(id []byte) []byte {
		if _, ok := ids[string(id)]; !ok {
			ids[string(id)] = fmt.Sprintf("00000000-0000-7000-8000-%012d", len(ids)+1)
		}
		return []byte(ids[string(id)])
	})
}

func TestOutput(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, config Config) {
		golden.Compare(t, same(outputOf(t, running(config))), "testdata/output.txt")
	})
}

// The second time nothing is done, and what was done is still there.
func TestAFileThatStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "board.db")
	config := Config{Path: path, Rounds: 1, Logger: zap.NewNop()}.orIn(t.TempDir())
	first := string(same(outputOf(t, running(config))))
	second := string(same(outputOf(t, func(ctx context.Context, out io.Writer) error {
		return start(ctx, out, io.Discard, []string{"-addr", "127.0.0.1:0", "-db", path})
	})))
	const from, to = "=== What happened", "=== What came over NATS"
	assert.Equal(t, between(first, from, to), between(second, from, to))
	assert.NotEmpty(t, between(second, from, to))
	assert.DirExists(t, path+"-nats")
}

func TestABoardOfSomebodyElseIsNotTakenForThisOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	s.create(t, s.as(t, "gus"), "Count the stock")
	require.ErrorContains(t, s.tell(t.Context()), "another board's database")
}

func TestAStoryThatDoesNotGoAsToldEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	s.passwords["ada"] = "forgotten"
	require.ErrorContains(t, s.tell(t.Context()), "fill the board: POST /login: status 401, not 200")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.settle(ctx), context.Canceled)
	require.ErrorIs(t, s.inbox.Await(ctx, uuid.New()), context.Canceled)
}

func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

// What is printed to try works.
func TestWhatToTry(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	require.NoError(t, s.fill(t.Context()))
	s.settled(t)
	task, chain, err := s.example(t.Context())
	require.NoError(t, err)
	ada := s.as(t, "ada")
	for _, try := range tries(task, chain) {
		method := http.MethodGet
		if try.method != "" {
			method = try.method
		}
		got, err := ada.accepting(try.accept).send(t.Context(), method, try.path, try.body)
		require.NoError(t, err)
		assert.Less(t, got.status, http.StatusMultipleChoices, "%s: %s", try.what, got.body)
		assert.Greater(t, len(got.body), 100, "%s: %s", try.what, got.body)
		if try.accept != "" {
			assert.Contains(t, got.header.Get("Content-Type"), try.accept)
		}
		assert.Contains(t, try.command(s.web.base), "'"+s.web.base+try.path+"'")
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	var usage bytes.Buffer
	require.Error(t, start(t.Context(), io.Discard, &usage, []string{"-port=1"}))
	assert.Contains(t, usage.String(), "-addr address")
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, taken.Close()) }()
	for _, c := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"-db=a", "-url=b"}, "-db and -url"},
		{[]string{"serve"}, `unknown argument "serve"`},
		{[]string{"-addr", taken.Addr().String()}, "address already in use"},
		{[]string{"-addr=127.0.0.1:0", "-url=postgres://127.0.0.1:1/none"}, "127.0.0.1:1"},
		{[]string{"-addr=127.0.0.1:0", "-nats=http://127.0.0.1:1:2"}, "connect to NATS"},
		{[]string{"-addr=127.0.0.1:0", "-db", filepath.Join(t.TempDir(), "none", "board.db")}, "none"},
	} {
		require.ErrorContains(t, start(t.Context(), io.Discard, io.Discard, c.arguments), c.says)
	}
}

func TestAFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	config := inFolder(t)
	require.NoError(t, os.WriteFile(config.Messages, nil, 0o600))
	_, err := open(t.Context(), config)
	require.ErrorContains(t, err, "NATS server: ")
}

func TestAVisitorSaysWhatDoesNotWork(t *testing.T) {
	t.Parallel()
	v := visitor{client: http.DefaultClient, base: "http://127.0.0.1:1"}
	_, err := v.create(t.Context(), "nowhere")
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.ErrorContains(t, v.get(t.Context(), "/%zz", http.StatusOK), "invalid URL escape")
	require.ErrorContains(t, v.post(t.Context(), "/", func() {}, http.StatusOK), "unsupported type")
}
