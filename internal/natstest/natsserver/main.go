// Command natsserver is one NATS server with JetStream for tests, in a process of
// its own. It says on its output that it is ready, and ends when its input does: so
// it ends with whoever started it, also if that is killed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/evident-go/evident/internal/natstest/setup"
)

// patience is how long the server may take to get ready.
const patience = 30 * time.Second

func main() {
	if err := serve(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "natsserver:", err)
		os.Exit(1)
	}
}

// serve runs a server until in ends.
func serve(args []string, in io.Reader, out io.Writer) error {
	options, err := parse(args)
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		return errors.New("not ready")
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	s.Shutdown()
	s.WaitForShutdown()
	return err
}

func parse(args []string) (*server.Options, error) {
	flags := flag.NewFlagSet("natsserver", flag.ContinueOnError)
	var (
		name      = flags.String("name", "evident", "the server's name")
		dir       = flags.String("dir", "", "where it keeps its files")
		port      = flags.Int("port", server.DEFAULT_PORT, "for clients")
		cluster   = flags.Int("cluster-port", 0, "for other servers, if it is one of several")
		routes    = flags.String("routes", "", "the other servers' URLs, with commas")
		advertise = flags.String("advertise", "", "the address at which other servers are told to find it, instead of its own")
		always    = flags.Bool("sync", false, "whether the disk has to confirm what is acknowledged")
	)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *dir == "" {
		return nil, errors.New("-dir is missing")
	}
	options := setup.Options(*name, *dir, *port)
	options.SyncAlways = *always
	if *cluster != 0 {
		options.Cluster = server.ClusterOpts{Name: "evident", Host: options.Host, Port: *cluster, Advertise: *advertise}
		options.Routes = server.RoutesFromStr(*routes)
	}
	return &options, nil
}
