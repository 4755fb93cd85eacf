package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// database is one that a test has to itself.
type database struct {
	server string // URL of a database from where it can be made and dropped
	name   string
}

// Database makes a new, empty database on a server, for a program that is not a
// test; tests call [URL]. It returns the URL of the database, and what drops it
// again, whoever is still connected. The role of the server's URL must be allowed
// to create databases.
func Database(ctx context.Context, server string) (url string, drop func(context.Context) error, err error) {
	d, err := create(ctx, server)
	if err != nil {
		return "", nil, err
	}
	if url, err = d.url(); err != nil {
		return "", nil, errors.Join(err, d.drop(ctx))
	}
	return url, d.drop, nil
}

// create makes a database with a name that no other has, alike on every server:
// UTF8, sorted by bytes.
func create(ctx context.Context, server string) (database, error) {
	d := database{server: server, name: "evident_test_" + strings.ToLower(rand.Text())}
	err := d.execute(ctx, "CREATE DATABASE "+d.name+" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
	return d, err
}

// drop removes the database, cutting off whoever is connected.
func (d database) drop(ctx context.Context) error {
	return d.execute(ctx, "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)")
}

// execute runs a command on a connection of its own.
func (d database) execute(ctx context.Context, command string) (err error) {
	conn, err := pgx.Connect(ctx, d.server)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, command); err != nil {
		return fmt.Errorf("pgtest: %s: %w", command, err)
	}
	return nil
}

// url returns the server's URL with the database's name in it.
func (d database) url() (string, error) {
	u, err := url.Parse(d.server)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", errors.New("pgtest: " + Variable + " is not a URL such as postgres://user:password@host:5432/postgres")
	}
	u.Path = "/" + d.name
	return u.String(), nil
}
