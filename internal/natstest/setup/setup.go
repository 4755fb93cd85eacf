// Package setup says how NATS servers of tests are set up, in the test's process
// and in their own.
package setup

import "github.com/nats-io/nats-server/v2/server"

// Options are those of a server on loopback that keeps its files in dir.
func Options(name, dir string, port int) server.Options {
	return server.Options{
		ServerName: name, Host: "127.0.0.1", Port: port,
		JetStream: true, StoreDir: dir, JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 4 << 30,
		NoLog: true, NoSigs: true, MaxPayload: 1 << 20,
	}
}
