package natstest

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/natstest/setup"
)

// patience is how long a server may take to get ready.
const patience = 30 * time.Second

// Option changes how a server runs.
type Option func(*server.Options)

// MaxPayload sets how large a message may be, in bytes.
func MaxPayload(bytes int32) Option { return func(o *server.Options) { o.MaxPayload = bytes } }

// WithoutJetStream starts a server that only passes messages on.
func WithoutJetStream() Option { return func(o *server.Options) { o.JetStream = false } }

// Server is one server in the test's process.
type Server struct {
	options server.Options
	running *server.Server
}

// Start starts a server that ends with the test.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{options: setup.Options("evident", t.TempDir(), freePort(t))}
	for _, change := range options {
		change(&s.options)
	}
	s.Restart(t)
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server and keeps its files. It may be called again.
func (s *Server) Stop() {
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

// Restart starts the server again, at the same address and with the same files.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	options := s.options // the server changes what it is given
	running, err := server.NewServer(&options)
	require.NoError(t, err)
	go running.Start()
	require.True(t, running.ReadyForConnections(patience), "NATS server %s is not ready", s.options.ServerName)
	s.running = running
}

// URL is where clients connect.
func (s *Server) URL() string { return "nats://127.0.0.1:" + strconv.Itoa(s.options.Port) }

// JetStream connects to the server. The connection comes back when the server
// does, and ends with the test.
func (s *Server) JetStream(t testing.TB, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	return Connect(t, s.URL(), options...)
}

// Connect connects to servers by their URLs. The connection comes back when they do,
// and ends with the test.
func Connect(t testing.TB, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	js, end, err := Dial(url, options...)
	require.NoError(t, err)
	t.Cleanup(end)
	return js
}

// Dial connects to a server by its address, as a process does that a test has
// started. The connection ends with end.
func Dial(url string, options ...nats.Option) (js jetstream.JetStream, end func(), err error) {
	always := []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0), nats.Timeout(patience),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // else the client prints that servers are gone
	}
	conn, err := nats.Connect(url, append(always, options...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	js, err = jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	return js, conn.Close, nil
}
