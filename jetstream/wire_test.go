package jetstream_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// wire is a connection on which answers to what was published can be lost or
// changed on the way. The server has done by then what it was asked to.
type wire struct {
	mu     sync.Mutex
	change func(answer string) (changed string, lost bool)
}

// overWire connects over a wire.
func overWire(t *testing.T, connect connects) (*wire, natsjs.JetStream) {
	t.Helper()
	w := &wire{}
	return w, connect(t, nats.SetCustomDialer(w))
}

// tell sets what becomes of acknowledgements from now on.
func (w *wire) tell(change func(answer string) (changed string, lost bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change = change
}

func (w *wire) told(answer string) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.change == nil || !strings.HasPrefix(answer, `{"stream":`) && !strings.HasPrefix(answer, `{"error":`) {
		return answer, false
	}
	return w.change(answer)
}

// Dial implements [nats.CustomDialer].
func (w *wire) Dial(network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &wiredConn{Conn: conn, wire: w, in: bufio.NewReader(conn)}, nil
}

// wiredConn reads what the server says operation by operation.
type wiredConn struct {
	net.Conn

	wire *wire
	in   *bufio.Reader
	out  bytes.Buffer
}

func (c *wiredConn) Read(b []byte) (int, error) {
	for c.out.Len() == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	return c.out.Read(b)
}

func (c *wiredConn) next() error {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err
	}
	parts := strings.Fields(line)
	if len(parts) < 4 || parts[0] != "MSG" && parts[0] != "HMSG" {
		c.out.WriteString(line)
		return nil
	}
	size, err := strconv.Atoi(parts[len(parts)-1])
	if err != nil {
		return err
	}
	payload := make([]byte, size+2)
	for n := 0; n < len(payload); {
		read, err := c.in.Read(payload[n:])
		if err != nil {
			return err
		}
		n += read
	}
	if parts[0] == "HMSG" {
		c.out.WriteString(line)
		c.out.Write(payload)
		return nil
	}
	answer, lost := c.wire.told(string(payload[:size]))
	if !lost {
		parts[len(parts)-1] = strconv.Itoa(len(answer))
		fmt.Fprintf(&c.out, "%s\r\n%s\r\n", strings.Join(parts, " "), answer)
	}
	return nil
}
