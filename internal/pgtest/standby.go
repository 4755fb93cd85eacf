package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

// Standby starts a hot standby of the server: a second server that has a copy
// of all its databases, replays what the first writes, and can only be read
// from. It returns once the standby takes connections. It is independent of the
// first as to being stopped and crashed, has the same settings and another port.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	standby, err := prepare(ctx, s.cluster.programs)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if err := standby.copy(ctx, s.URL()); err != nil {
		return nil, errors.Join(err, standby.Stop())
	}
	return standby, nil
}

// copy copies the primary and starts to follow it, on a free port.
func (s *Server) copy(ctx context.Context, primary string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	backup := s.cluster.command(ctx, "pg_basebackup", "--dbname="+primary, "--pgdata="+s.cluster.data(),
		"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	if out, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: pg_basebackup: %w\n%s", err, bytes.TrimSpace(out))
	}
	var err error
	for range portTries {
		s.port = anyPort()
		if err = s.launch(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// Standby starts a hot standby of a server that the test has to itself, and
// stops it when the test ends; see [Server.Standby].
func Standby(t testing.TB, primary *Server) *Server {
	t.Helper()
	s, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}
