package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// size is how many servers there are: with three, one may be lost.
const size = 3

// patience is how long a server may take to get ready.
const patience = 20 * time.Second

// servers are three NATS servers in this process that keep replicas.
type servers struct {
	options [size]server.Options
	running [size]*server.Server // nil while one is stopped
}

// startServers starts them with their files in a folder, and waits until they
// have found each other.
func startServers(ctx context.Context, folder string) (*servers, error) {
	ports, err := freePorts(ctx)
	if err != nil {
		return nil, err
	}
	routes := make([]string, size)
	for i, port := range ports {
		routes[i] = fmt.Sprintf("nats://127.0.0.1:%d", port)
	}
	c := &servers{}
	for i, port := range ports {
		name := fmt.Sprintf("server-%d", i+1)
		c.options[i] = server.Options{
			ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT,
			Cluster: server.ClusterOpts{Name: "shipments", Host: "127.0.0.1", Port: port},
			Routes:  server.RoutesFromStr(strings.Join(routes, ",")),
			//docs:begin sync
			JetStream:  true,
			StoreDir:   filepath.Join(folder, name),
			SyncAlways: true, // sync_interval: always, in a server's configuration file
			//docs:end sync
			NoLog: true, NoSigs: true,
		}
		if err := c.start(i); err != nil {
			c.close()
			return nil, err
		}
	}
	if err := until(ctx, c.areTogether); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// freePorts returns ports by which the servers reach each other. All must be
// known before the first one starts.
func freePorts(ctx context.Context) (ports [size]int, err error) {
	var held []net.Listener
	for i := range ports {
		l, failed := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if failed != nil {
			err = failed
			break
		}
		held = append(held, l)
		if address, ok := l.Addr().(*net.TCPAddr); ok {
			ports[i] = address.Port
		}
	}
	for _, l := range held { // only now, or one would be found twice
		err = errors.Join(err, l.Close())
	}
	return ports, err
}

// start starts a server, for the first time or again, with the files that it has.
func (c *servers) start(i int) error {
	options := c.options[i] // the server changes what it is given
	s, err := server.NewServer(&options)
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	go s.Start()
	c.running[i] = s
	if !s.ReadyForConnections(patience) {
		return errors.New("NATS server: is not ready")
	}
	if address, ok := s.Addr().(*net.TCPAddr); ok {
		c.options[i].Port = address.Port // the same when it comes back
	}
	return nil
}

func (c *servers) stop(i int) {
	if c.running[i] != nil {
		c.running[i].Shutdown()
		c.running[i].WaitForShutdown()
		c.running[i] = nil
	}
}

func (c *servers) close() {
	for i := range c.running {
		c.stop(i)
	}
}

// areTogether reports whether the servers know each other and have chosen who
// creates streams.
func (c *servers) areTogether() (bool, error) {
	for _, s := range c.running {
		if s != nil && s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == size {
			return true, nil
		}
	}
	return false, nil
}

// leaderOf returns which server leads a stream. Another one may by the time it
// returns.
func (c *servers) leaderOf(ctx context.Context, stream string) (leader int, err error) {
	err = until(ctx, func() (bool, error) {
		for i, s := range c.running {
			if s != nil && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
				leader = i
				return true, nil
			}
		}
		return false, nil
	})
	return leader, err
}

// url names all of them, so that a client finds one that is there.
func (c *servers) url() string {
	urls := make([]string, size)
	for i := range c.options {
		urls[i] = fmt.Sprintf("nats://127.0.0.1:%d", c.options[i].Port)
	}
	return strings.Join(urls, ",")
}

// connect connects to one of the servers, and to another one when that is gone.
func connect(url, name string) (*nats.Conn, natsjs.JetStream, error) {
	//docs:begin connect
	conn, err := nats.Connect(url, // of all servers, separated by commas
		nats.Name(name),
		nats.MaxReconnects(-1), // for ever
		nats.ReconnectWait(100*time.Millisecond),
	)
	//docs:end connect
	if err != nil {
		return nil, nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := natsjs.New(conn)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, js, nil
}

// until waits for something to be so.
func until(ctx context.Context, isSo func() (bool, error)) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if so, err := isSo(); so || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
