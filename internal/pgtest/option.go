package pgtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Option changes how a server is started.
type Option func(*options)

// Setting sets a parameter of postgresql.conf, such as "wal_level". Of several
// settings of one parameter the last counts. The port, the address and the
// socket folder are not for settings: a server that cannot be reached at its
// URL is of no use.
func Setting(name, value string) Option {
	return func(o *options) { o.settings = append(o.settings, setting{name, value}) }
}

// Unsafe lets the server not wait for the disk. Commits are faster, and survive
// a [Server.Crash], but would not survive a crash of the operating system.
func Unsafe() Option {
	return func(o *options) {
		o.settings = append(o.settings, setting{"fsync", "off"}, setting{"full_page_writes", "off"})
	}
}

// Programs names the folder of the server programs to run, in place of those
// that [Find] finds: to test with another version of PostgreSQL.
func Programs(folder string) Option {
	return func(o *options) { o.programs = folder }
}

type options struct {
	programs string
	settings []setting
	port     func() int // proposes ports
}

type setting struct{ name, value string }

func configure(given []Option) options {
	o := options{
		port: anyPort,
		settings: []setting{
			{"listen_addresses", "127.0.0.1"},
			{"unix_socket_directories", ""},
			{"max_connections", "200"},
			{"shared_buffers", "128MB"},
			{"fsync", "on"},
			{"synchronous_commit", "on"},
		},
	}
	for _, option := range given {
		option(&o)
	}
	return o
}

// anyPort proposes a port below those that systems give to outgoing
// connections: a client that dials a server that is down could otherwise be
// given the server's own port, and keep it from coming back.
func anyPort() int {
	return 20000 + rand.IntN(12000)
}

// find returns the folder of the server programs.
func (o options) find() (string, error) {
	if o.programs == "" {
		return Find()
	}
	if folder := installation(o.programs); folder != "" {
		return folder, nil
	}
	return "", &NotFoundError{Looked: []string{o.programs}}
}

// lines returns the settings as they stand in postgresql.conf.
func (o options) lines() string {
	var b strings.Builder
	for _, s := range o.settings {
		fmt.Fprintf(&b, "%s = '%s'\n", s.name, strings.ReplaceAll(s.value, "'", "''"))
	}
	return b.String()
}
