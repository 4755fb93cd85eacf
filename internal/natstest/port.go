package natstest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Ports of servers are below those that systems give to outgoing connections. A
// client that looks for a server that is down could otherwise be given the
// server's own port, and keep it from coming back.
const (
	lowestPort = 10_000
	countPorts = 10_000
)

// freePort returns a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	const tries = 100
	for range tries {
		port := lowestPort + rand.IntN(countPorts)
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
	require.FailNow(t, "no port is free")
	return 0
}
