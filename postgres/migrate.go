package postgres

import (
	"context"
	"embed"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/migration"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns all steps in order.
func migrations() ([]migration.Step, error) { return migration.Steps(migrationFiles) }

// Migrate creates the schema and its tables, or brings them up to what this
// program needs. It may be called at any time, by several processes at once,
// while stores are open, too: everything happens in one transaction, under a
// lock, and a step that is done is not done again. The database must exist, and
// the role must be allowed to create in it; the role of [Open] need not be.
//
// Errors: [event.ErrInvalid] for a bad configuration, a schema that is somebody
// else's and a server that is too old; [eventstore.ErrSchema] for a schema newer
// than this program's; and an [*Error], which is [ErrPermission] for a role without the rights.
func Migrate(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	config = config.withDefaults()
	pool, release, err := config.connect(ctx)
	if err != nil {
		return translate("migrate", config.Schema, err)
	}
	defer release()
	m := migrator{schema: schema(config.Schema), rowSecurity: config.RowSecurity}
	return translate("migrate", config.Schema, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return m.run(ctx, tx) }))
}

// connect returns the pool to use, and what gives it back.
func (c Config) connect(ctx context.Context) (*pgxpool.Pool, func(), error) {
	if c.Pool != nil {
		return c.Pool, func() {}, nil
	}
	config, err := c.poolConfig()
	if err != nil {
		return nil, nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return pool, pool.Close, nil
}

// migrator brings one schema up to date.
type migrator struct {
	schema      schema
	rowSecurity bool
}

func (m migrator) run(ctx context.Context, tx pgx.Tx) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	if err := checkServer(ctx, tx); err != nil {
		return err
	}
	if err := m.lock(ctx, tx); err != nil {
		return err
	}
	have, err := schemaVersion(ctx, tx, m.schema, len(steps))
	if err != nil {
		return err
	}
	if have == 0 {
		if err := m.create(ctx, tx); err != nil {
			return err
		}
	}
	for _, step := range steps[have:] {
		if _, err := tx.Exec(ctx, m.schema.sql(step.Script)); err != nil {
			return fmt.Errorf("migration %d: %w", step.Version, err)
		}
		if _, err := tx.Exec(ctx, m.schema.sql("INSERT INTO evident.migrations (version) VALUES ($1)"), step.Version); err != nil {
			return err
		}
	}
	return m.secure(ctx, tx)
}

// lock lets one migration of this schema run at a time.
func (m migrator) lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, m.schema.sql("SELECT pg_advisory_xact_lock(hashtextextended('evident.migrate', 0))"))
	return err
}

// create creates the schema, unless somebody has for us, and the table that
// says what is in it.
func (m migrator) create(ctx context.Context, tx pgx.Tx) error {
	exists, err := first[bool](ctx, tx, "SELECT to_regnamespace($1) IS NOT NULL", string(m.schema))
	if err != nil {
		return err
	}
	if !exists {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+string(m.schema)); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, m.schema.sql("CREATE TABLE evident.migrations (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"))
	return err
}

// querier is what a pool, a connection and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// first returns the one value of a query's first row.
func first[T any](ctx context.Context, q querier, sql string, args ...any) (value T, err error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return value, err
	}
	return pgx.CollectOneRow(rows, pgx.RowTo[T])
}

// schemaVersion returns the schema's version, 0 if it is empty or missing. A
// newer one than the program's is a [*eventstore.SchemaError]; one with tables
// that are not of this package is an [*event.InvalidError].
func schemaVersion(ctx context.Context, q querier, name schema, newest int) (int, error) {
	if err := checkKeyword(ctx, q, name); err != nil {
		return 0, err
	}
	// Many programs have a table with this name; ours is never without the other.
	ours, err := first[bool](ctx, q, "SELECT to_regclass($1 || '.migrations') IS NOT NULL AND to_regclass($1 || '.store') IS NOT NULL", string(name))
	if err != nil {
		return 0, err
	}
	if !ours {
		return 0, refuseForeign(ctx, q, name)
	}
	have, err := first[int](ctx, q, name.sql("SELECT coalesce(max(version), 0) FROM evident.migrations"))
	if err != nil {
		return 0, err
	}
	if have > newest {
		return 0, &eventstore.SchemaError{Store: "schema " + string(name), Have: have, Want: newest}
	}
	return have, nil
}

// checkKeyword refuses a name that would have to be quoted.
func checkKeyword(ctx context.Context, q querier, name schema) error {
	plain, err := first[bool](ctx, q, "SELECT quote_ident($1) = $1", string(name))
	if err == nil && !plain {
		err = &event.InvalidError{Field: "schema", Value: string(name), Reason: "is a keyword of SQL"}
	}
	return err
}

// refuseForeign refuses a schema with tables of another program in it.
func refuseForeign(ctx context.Context, q querier, name schema) error {
	tables, err := first[int](ctx, q, "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p', 'v', 'm', 'S')", string(name))
	if err != nil {
		return err
	}
	if tables > 0 {
		return &event.InvalidError{Field: "schema", Value: string(name), Reason: "has tables of another program; an event store has a schema of its own"}
	}
	return nil
}
