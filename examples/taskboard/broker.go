package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
)

// broker is a connection to NATS, and the server if it is one in this process.
type broker struct {
	own  *server.Server
	conn *nats.Conn
	js   natsjs.JetStream
}

// openBroker connects to the server of a URL. Without one it starts a server in
// this process that nobody else can reach, with its files in a folder.
func openBroker(url, folder string) (*broker, error) {
	b := &broker{}
	// The publisher and the consumer wait for a server that is away, for ever.
	options := []nats.Option{nats.Name("taskboard"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true)}
	if url == "" {
		if err := b.start(folder); err != nil {
			return nil, err
		}
		options = append(options, nats.InProcessServer(b.own))
	}
	var err error
	if b.conn, err = nats.Connect(url, options...); err != nil {
		b.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if b.js, err = natsjs.New(b.conn); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// patience is how long a server may take to get ready.
const patience = 10 * time.Second

func (b *broker) start(folder string) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil { // the server itself would only not get ready.
		return fmt.Errorf("NATS server: %w", err)
	}
	b.own, err = server.NewServer(&server.Options{
		ServerName: "taskboard", DontListen: true, JetStream: true, StoreDir: folder,
		NoLog: true, NoSigs: true, SyncAlways: true,
	})
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	go b.own.Start()
	if !b.own.ReadyForConnections(patience) {
		b.own.Shutdown()
		return errors.New("NATS server: is not ready")
	}
	return nil
}

// Close closes the connection, and then the server if it is this one's.
func (b *broker) Close() {
	if b.conn != nil {
		b.conn.Close()
	}
	if b.own != nil {
		b.own.Shutdown()
		b.own.WaitForShutdown()
	}
}
