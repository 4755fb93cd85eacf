package natstest

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
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

// portsTaken counts the ports of this process's tests. Some time goes by until a
// server listens on its port, so none may be given out twice.
var portsTaken atomic.Uint32

// freePort returns a port that nobody listens on, and that no other test of this
// process is given. Each process begins somewhere else.
func freePort(t testing.TB) int {
	t.Helper()
	const (
		tries = 100
		apart = 211 // ports, between processes that were started one after the other
	)
	for range tries {
		port := lowestPort + (os.Getpid()*apart+int(portsTaken.Add(1)))%countPorts
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
	require.FailNow(t, "no port is free")
	return 0
}
