package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// check finds out whether the schema is a store of this version that can be
// used, and that it keeps what it is given. It returns the store's id.
func (s *Store) check(ctx context.Context) (uuid.UUID, error) {
	if err := checkServer(ctx, s.pool); err != nil {
		return uuid.Nil, err
	}
	if err := requireVersion(ctx, s.pool, s.schema); err != nil {
		return uuid.Nil, err
	}
	for _, check := range s.checks() {
		if err := check(ctx); err != nil {
			return uuid.Nil, err
		}
	}
	return storeID(ctx, s.pool, s.schema)
}

// storeID returns which history the schema holds.
func storeID(ctx context.Context, q querier, name schema) (uuid.UUID, error) {
	id, err := first[uuid.UUID](ctx, q, name.sql("SELECT store_id FROM evident.store"))
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%w: schema %s has lost its store id", eventstore.ErrCorrupt, name)
	}
	return id, err
}

// requireVersion refuses a schema that is not of this program's version.
func requireVersion(ctx context.Context, q querier, name schema) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	have, err := schemaVersion(ctx, q, name, len(steps))
	if err == nil && have != len(steps) {
		err = &eventstore.SchemaError{Store: "schema " + string(name), Have: have, Want: len(steps)}
	}
	return err
}

// oldest is the first version of PostgreSQL that has all that is used here.
const oldest = 14

// checkServer refuses a server that is too old, and one that would take names
// and metadata for another encoding's.
func checkServer(ctx context.Context, q querier) error {
	version, err := first[int](ctx, q, "SELECT current_setting('server_version_num')::int")
	if err == nil {
		err = checkVersion(version)
	}
	for _, setting := range []string{"server_encoding", "client_encoding"} {
		var encoding string
		if err == nil {
			encoding, err = first[string](ctx, q, "SELECT current_setting($1)", setting)
		}
		if err == nil && encoding != "UTF8" {
			err = &event.InvalidError{Field: setting, Value: encoding, Reason: "must be UTF8"}
		}
	}
	return err
}

// checks returns what has to be right. Whoever only reads need not care how
// events are stored.
func (s *Store) checks() []func(context.Context) error {
	checks := []func(context.Context) error{s.checkRights, s.checkGuards, s.checkRowSecurity}
	if !s.config.Replica {
		checks = append(checks, s.checkStandby, s.checkDurable, s.checkSequence, func(ctx context.Context) error { return s.checkInline(ctx, s.pool) })
	}
	return checks
}

// checkVersion refuses what server_version_num says, such as 130004.
func checkVersion(number int) error {
	if major := number / 10000; major < oldest {
		return &event.InvalidError{Field: "server_version", Value: strconv.Itoa(major), Reason: fmt.Sprintf("must be %d or newer", oldest)}
	}
	return nil
}

// checkRights names the first right that the role lacks.
func (s *Store) checkRights(ctx context.Context) error {
	lacks, err := s.lacking(ctx)
	if err == nil && lacks != "" {
		err = &Error{Op: "open", Schema: string(s.schema), Code: codePermission, Err: fmt.Errorf("%w: it needs %s", ErrPermission, lacks)}
	}
	return err
}

// checkStandby refuses a database that only follows another, and one that
// refuses to be written to.
func (s *Store) checkStandby(ctx context.Context) error {
	standby, err := first[bool](ctx, s.pool, "SELECT pg_is_in_recovery()")
	if err == nil && standby {
		err = &Error{Op: "open", Schema: string(s.schema), Code: codeReadOnly, Err: errStandby}
	}
	if err != nil {
		return err
	}
	readOnly, err := first[bool](ctx, s.pool, "SELECT current_setting('transaction_read_only')::bool")
	if err == nil && readOnly {
		err = &Error{Op: "open", Schema: string(s.schema), Code: codeReadOnly, Err: errors.New("default_transaction_read_only is on for the server, the database or the role")}
	}
	return err
}

// checkDurable refuses settings under which an acknowledged append can be lost.
func (s *Store) checkDurable(ctx context.Context) error {
	if s.config.Relaxed {
		return nil
	}
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		value, err := first[string](ctx, s.pool, "SELECT current_setting($1)", setting)
		if err != nil {
			return err
		}
		if value == "off" {
			return &UnsafeError{Setting: setting, Value: value, Fix: "turn it on for the server, the database and the role, or set Config.Relaxed for tests"}
		}
	}
	logged, err := first[bool](ctx, s.pool, s.sql("SELECT relpersistence = 'p' FROM pg_class WHERE oid = 'evident.events'::regclass"))
	if err == nil && !logged {
		err = &UnsafeError{
			Setting: s.sql("table evident.events"), Value: "UNLOGGED",
			Fix: s.sql("run ALTER TABLE evident.events SET LOGGED"),
		}
	}
	return err
}

// checkSequence refuses a sequence that does not give positions in the order
// in which they are asked for.
func (s *Store) checkSequence(ctx context.Context) error {
	wrong, err := first[string](ctx, s.pool, s.sql(`
		SELECT concat_ws(', ', CASE WHEN seqcache <> 1 THEN 'CACHE ' || seqcache END, CASE WHEN seqincrement <> 1 THEN 'INCREMENT ' || seqincrement END,
		       CASE WHEN seqcycle THEN 'CYCLE' END,
		       CASE WHEN coalesce(pg_sequence_last_value(seqrelid::regclass), 0) < (SELECT coalesce(max(position), 0) FROM evident.events)
		            THEN 'behind the events' END) FROM pg_sequence WHERE seqrelid = 'evident.position'::regclass`))
	if err == nil && wrong != "" {
		err = &UnsafeError{
			Setting: s.sql("sequence evident.position"), Value: wrong,
			Fix: s.sql("stop all writers and run ALTER SEQUENCE evident.position CACHE 1 INCREMENT 1 NO CYCLE, and SELECT setval('evident.position', max(position)) FROM evident.events"),
		}
	}
	return err
}

// checkGuards refuses a table of events that could be changed.
func (s *Store) checkGuards(ctx context.Context) error {
	guarded, err := first[bool](ctx, s.pool, s.sql(
		"SELECT count(*) = 1 FROM pg_trigger WHERE tgrelid = 'evident.events'::regclass AND tgname = 'events_are_not_changed' AND tgenabled IN ('O', 'A')"))
	if err == nil && !guarded {
		err = &UnsafeError{
			Setting: s.sql("trigger events_are_not_changed on evident.events"), Value: "missing or off",
			Fix: s.sql("find out who did that and why, then run ALTER TABLE evident.events ENABLE TRIGGER events_are_not_changed"),
		}
	}
	return err
}
