package postgres

import (
	"context"
	"errors"
	"strconv"
)

// A store that is opened with [Config.Replica] takes the mark for the head.
const (
	selectHead = "SELECT head, highest FROM evident.head()"
	selectMark = "SELECT position, position FROM evident.mark"
)

// writable returns why a call that stores something cannot go on.
func (s *Store) writable(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if s.config.Replica {
		return &Error{Op: "append", Schema: string(s.schema), Code: codeReadOnly, Err: errReplica}
	}
	return nil
}

var (
	errStandby = errors.New("the server is a standby, which can only be read from")
	errReplica = errors.New("the store was opened with Config.Replica, which only reads")
	errLagging = errors.New("the server that was asked has not replayed what another had that was asked before")
)

// upToDate returns the premises of reads up to head. What leads to several
// standbys may lead to one that is behind the one that was asked for the head:
// there events would be missing.
func (s *Store) upToDate(premises []premise, head uint64) []premise {
	if !s.config.Replica {
		return premises
	}
	return append(premises, premise{
		sql:  s.sql("SELECT position >= $1 FROM evident.mark"),
		args: []string{strconv.FormatInt(signed(head), 10)},
		err:  &Error{Op: "read", Schema: string(s.schema), Err: errLagging},
	})
}

// duties returns what the store does in the background.
func (s *Store) duties() []func(context.Context) {
	if s.config.KeepMark {
		return []func(context.Context){s.keepMark}
	}
	return nil
}
