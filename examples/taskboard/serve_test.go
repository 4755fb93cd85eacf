package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/internal/natstest"
	"github.com/evident-go/evident/jetstream"
)

func TestARequestInProgressIsFinishedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, config Config) {
		s := newSite(t, config)
		bob := s.as(t, "bob")
		body, rest := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.web.base+"/tasks", body)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+bob.token)
		request.Header.Set("Expect", "100-continue") // nothing of the body is sent before the handler asks for it.
		client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
		defer client.CloseIdleConnections()
		answered := make(chan reply, 1)
		go func() {
			got, err := replyTo(client, request)
			assert.NoError(t, err)
			answered <- got
		}()
		_, err = io.WriteString(rest, `{"title":"Write`) // the handler waits for the rest.
		require.NoError(t, err)

		stopped := make(chan error, 1)
		go func() { stopped <- s.stop() }()
		require.Eventually(t, func() bool { return !accepts(t, s.web.base) }, soon, often, "nobody is let in any more")
		select {
		case err := <-stopped:
			t.Fatalf("it ended with a request in progress: %v", err)
		default:
		}
		_, err = io.WriteString(rest, ` the minutes"}`)
		require.NoError(t, err)
		require.NoError(t, rest.Close())
		got := <-answered
		require.NoError(t, got.expect(http.StatusCreated))
		require.NoError(t, <-stopped)

		again := newSite(t, config)
		_, err = again.shown(t.Context())
		require.NoError(t, err)
		task := read[taskJSON](t, again.as(t, "bob"), got.header.Get("Location"))
		assert.Equal(t, "Write the minutes", task.Title)
		count := 0
		for _, err := range again.log.ByEntity(t.Context(), audit.Aggregate(taskType, task.ID), audit.Page{}) {
			require.NoError(t, err)
			count++
		}
		assert.Equal(t, 2, count)
	})
}

func TestWhatWasAcknowledgedIsThereAfterAShutdownAmongWrites(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, config Config) {
		s := newSite(t, config)
		bob := s.as(t, "bob")
		acknowledged := make(chan string, 10_000)
		var writers sync.WaitGroup
		for range 4 {
			writers.Go(func() {
				for {
					path, err := bob.create(t.Context(), "Write the minutes")
					if err != nil {
						return // nobody is let in any more.
					}
					acknowledged <- path
				}
			})
		}
		created := []string{<-acknowledged, <-acknowledged, <-acknowledged}
		require.NoError(t, s.stop())
		writers.Wait()
		close(acknowledged)
		for path := range acknowledged {
			created = append(created, path)
		}

		again := newSite(t, config)
		head, err := again.shown(t.Context())
		require.NoError(t, err)
		recorded := map[string]bool{}
		records := uint64(0)
		for r, err := range again.log.AsOf(head).Find(t.Context(), audit.Query{}) {
			require.NoError(t, err)
			records++
			recorded[r.Action()+" /tasks/"+r.Entity().ID] = true
		}
		for _, path := range created {
			assert.True(t, recorded["task.created "+path] && recorded["create_task "+path], "%s was acknowledged", path)
		}
		messages, err := again.broker.js.Stream(t.Context(), "AUDIT")
		require.NoError(t, err)
		require.Eventually(t, func() bool { // what was not published before is published now, and nothing twice.
			info, err := messages.Info(t.Context())
			return err == nil && info.State.Msgs == records
		}, soon, often)
	})
}

// accepts reports whether the server lets anybody in.
func accepts(t *testing.T, base string) bool {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestTheBoardWorksWhileNATSIsDown(t *testing.T) {
	t.Parallel()
	broker := natstest.Start(t)
	broker.Stop()
	config := inFolder(t)
	config.NATS = broker.URL()
	s := newSite(t, config)
	bob := s.as(t, "bob")
	s.create(t, bob, "Write the minutes")
	assert.Empty(t, s.inbox.Messages("acme"))
	broker.Restart(t)
	s.settled(t)
	assert.Len(t, s.inbox.Messages("acme"), 3)
}

func TestAStreamThatCouldLoseMessagesEndsServing(t *testing.T) {
	t.Parallel()
	broker := natstest.Start(t)
	_, err := broker.JetStream(t).CreateStream(t.Context(), natsjs.StreamConfig{
		Name: "AUDIT", Subjects: []string{"audit.v1.>"}, MaxMsgs: 10, Discard: natsjs.DiscardOld,
	})
	require.NoError(t, err)
	config := inFolder(t)
	config.NATS = broker.URL()
	board, err := open(t.Context(), config)
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	err = board.Serve(t.Context(), listener, func(context.Context) error { return nil })
	require.ErrorIs(t, err, jetstream.ErrStream)
	require.ErrorContains(t, err, "publisher: ")
}

func TestWhatFailsAtTheStartIsReturned(t *testing.T) {
	t.Parallel()
	board, err := open(t.Context(), inFolder(t))
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	broken := errors.New("broken")
	require.ErrorIs(t, board.Serve(t.Context(), listener, func(context.Context) error { return broken }), broken)
}

func TestStepsOfAShutdownAreBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	err := within(time.Nanosecond, "store", func() error {
		<-release
		return nil
	})
	require.ErrorContains(t, err, "store: has not ended within 1ns")
}

func TestNobodyCanHoldAConnectionForEver(t *testing.T) {
	t.Parallel()
	server := newServer(http.NotFoundHandler(), zap.NewNop())
	for name, limit := range map[string]time.Duration{
		"read header": server.ReadHeaderTimeout, "read": server.ReadTimeout, "write": server.WriteTimeout, "idle": server.IdleTimeout,
	} {
		assert.Positive(t, limit, name)
	}
	assert.Positive(t, server.MaxHeaderBytes)
}

func TestTooLargeAHeaderIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.web.base+"/feed", http.NoBody)
	require.NoError(t, err)
	request.Header.Set("X-Large", strings.Repeat("x", 1<<20))
	got, err := replyTo(s.web.client, request)
	require.NoError(t, err)
	require.NoError(t, got.expect(http.StatusRequestHeaderFieldsTooLarge))
}
