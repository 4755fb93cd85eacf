package postgres

import (
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/projection"
)

// Config says which database a store is in and how it behaves. Either URL or
// Pool is required.
type Config struct {
	// URL is a connection string: postgres://user:password@host:port/database,
	// or keywords and values. Everything that pgxpool understands may be in it,
	// such as pool_max_conns, by default 16. Required unless Pool is given.
	URL string
	// Pool is used instead of a pool of the store's own. The store does not close it.
	Pool *pgxpool.Pool
	// Schema is the PostgreSQL schema with the store's tables. Several stores can
	// be in one database, each in its own. It is made of lower-case letters,
	// digits and underscores. Default "evident".
	Schema string
	// Limits bounds what an append may hold. Default [eventstore.DefaultLimits].
	Limits eventstore.Limits
	// Now is the store's clock: of recorded-at times, checkpoints and leases.
	// Default is the database's own, which is one for all processes. It must be
	// safe for concurrent use.
	Now func() time.Time
	// PollInterval is how often Wait looks for appends of other processes that it
	// was not notified of. While nothing happens the pause grows to ten times as
	// much. Default 100 ms.
	PollInterval time.Duration
	// WriteTimeout bounds how long an append to the store waits for the database's
	// answer, beside the deadline of its own context: others share its call, or
	// wait for its streams. After it the append is [eventstore.ErrUnavailable] if
	// it was never sent, and [eventstore.ErrOutcomeUnknown] if it was. Appends in
	// transactions ([Store.Within]) have the deadline of their context alone.
	// Default 30 s.
	WriteTimeout time.Duration
	// Inline are projections that run in each append's own transaction: their
	// read models are never late, and an append fails with them. They are made by
	// [NewProjection], and deployed with [DeployInline].
	Inline []projection.Projection
	// InlinePause bounds how long [DeployInline] and [RebuildInline] keep appends
	// waiting, each time they try to change what runs. Default 1 s.
	InlinePause time.Duration
	// RowSecurity asks for a wall between tenants in the database itself, behind
	// that of [Store.BindTenant]: row-level security. Migrate puts it up; without
	// RowSecurity it never takes it down, which is SELECT evident.row_security(false).
	// Open refuses a role that no policy stops: the owner of the tables, superusers
	// and roles with BYPASSRLS.
	//
	// Behind the wall a role sees and stores events of the tenant that its
	// transaction has set, as stores bound to a tenant do, and no others. Roles that
	// were granted [CanSeeAllTenants] see everything while no tenant is set, so one
	// role can serve bound stores and run projections. Nothing keeps a role from
	// setting whichever tenant it wants: the wall stops statements that forget their
	// tenant, not programs that lie about it.
	RowSecurity bool
	// KeepMark lets the store write down the head, at most ten times a second, so
	// that stores opened with Replica and plain SQL know it: the row evident.mark.
	// Any number of stores may keep it; one of them is enough. One that does asks
	// the database for the head about once a second when nothing happens.
	KeepMark bool
	// Replica opens a store that only reads, as far as the mark says, on a hot
	// standby or on the primary; some store on the primary has to keep the mark.
	// Head is the mark. Appends are [eventstore.ErrReadOnly]; projections run if
	// their progress is elsewhere. Events are seen when PollInterval is over, up to
	// ten of it after a quiet time. ReadStream shows what the server has, which may
	// be more than the mark covers. If the URL leads to one of several standbys, a
	// read that meets one behind the others is [eventstore.ErrUnavailable].
	Replica bool
	// Relaxed accepts a database that can lose what it has acknowledged, because
	// fsync, full_page_writes or synchronous_commit is off: for tests.
	Relaxed bool
}

const (
	defaultSchema       = "evident"
	defaultPollInterval = 100 * time.Millisecond
	defaultWriteTimeout = 30 * time.Second
	defaultInlinePause  = time.Second
	defaultMaxConns     = 16
)

// Validate checks the configuration. The error is an [*event.InvalidError] that
// names the field.
func (c Config) Validate() error {
	if err := c.validateSource(); err != nil {
		return err
	}
	switch {
	case c.Schema != "" && !isName(c.Schema):
		return &event.InvalidError{Field: "schema", Value: c.Schema, Reason: "must be a lower-case letter or underscore, then up to 39 letters, digits and underscores, and not begin with pg_"}
	case c.PollInterval < 0:
		return &event.InvalidError{Field: "poll_interval", Value: c.PollInterval.String(), Reason: "must not be negative; 0 means the default"}
	case c.Replica && c.KeepMark:
		return &event.InvalidError{Field: "keep_mark", Reason: "must not be set with Replica, which does not write"}
	case c.WriteTimeout < 0:
		return &event.InvalidError{Field: "write_timeout", Value: c.WriteTimeout.String(), Reason: "must not be negative; 0 means the default"}
	case c.InlinePause < 0:
		return &event.InvalidError{Field: "inline_pause", Value: c.InlinePause.String(), Reason: "must not be negative; 0 means the default"}
	}
	if err := validateInline(c.Inline); err != nil {
		return err
	}
	return c.Limits.Validate()
}

func (c Config) validateSource() error {
	switch {
	case c.URL == "" && c.Pool == nil:
		return &event.InvalidError{Field: "url", Reason: "must say where the database is: postgres://user:password@host:port/database"}
	case c.URL != "" && c.Pool != nil:
		return &event.InvalidError{Field: "pool", Reason: "must not be given together with a URL"}
	case c.Pool != nil:
		return validateMode("pool", c.Pool.Config().ConnConfig.DefaultQueryExecMode)
	}
	pool, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return &event.InvalidError{Field: "url", Reason: "is not a connection string: " + err.Error()} // pgx leaves the password out
	}
	return validateMode("url", pool.ConnConfig.DefaultQueryExecMode)
}

// validateMode refuses the modes in which values come back as text. Those that
// remain work with and without a pooler.
func validateMode(field string, mode pgx.QueryExecMode) error {
	if mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol || mode == pgx.QueryExecModeDescribeExec {
		return &event.InvalidError{Field: field, Value: mode.String(), Reason: "must use default_query_exec_mode cache_statement, or cache_describe behind a pooler in transaction mode"}
	}
	return nil
}

// A schema's name leaves room for what names are made of it.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func isName(s string) bool { return schemaName.MatchString(s) && !strings.HasPrefix(s, "pg_") }

// withDefaults returns c with zero fields set.
func (c Config) withDefaults() Config {
	c.Limits = c.Limits.OrDefault()
	if c.Schema == "" {
		c.Schema = defaultSchema
	}
	if c.PollInterval == 0 {
		c.PollInterval = defaultPollInterval
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = defaultWriteTimeout
	}
	if c.InlinePause == 0 {
		c.InlinePause = defaultInlinePause
	}
	return c
}

// poolConfig returns how the store's own pool is made.
func (c Config) poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(c.URL, "pool_max_conns") {
		config.MaxConns = defaultMaxConns
	}
	if _, named := config.ConnConfig.RuntimeParams["application_name"]; !named {
		config.ConnConfig.RuntimeParams["application_name"] = "evident"
	}
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	return config, nil
}
