package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
	"github.com/evident-go/evident/internal/migration"
)

// applicationID marks a file as one of this package: "evid" in ASCII, in the
// place that SQLite has for it.
const applicationID = 0x65766964

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns all steps in order.
func migrations() ([]migration.Step, error) { return migration.Steps(migrationFiles) }

// Migrate creates the file and its tables, or brings them up to what this
// program needs. It may be called at any time, by several processes at once,
// while stores are open, too: each step is one transaction, and a step that is
// done is not done again. The folder must exist.
//
// Errors: [event.ErrInvalid] for a bad configuration or a file that is another
// program's database; [eventstore.ErrSchema] for a schema newer than this
// program's; and an [*Error].
func Migrate(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	config = config.withDefaults()
	if err := config.checkFolder(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	source, err := config.source(modeCreate)
	if err != nil {
		return err
	}
	c, err := connect(source)
	if err != nil {
		return translate("migrate", config.Path, err)
	}
	m := &migrator{connection: c, config: config}
	return translate("migrate", config.Path, errors.Join(m.run(ctx), c.close()))
}

// migrator brings one file up to date.
type migrator struct {
	*connection

	config Config
}

func (m *migrator) run(ctx context.Context) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	if err := waitOurselves(ctx, m.connection); err != nil {
		return err
	}
	have, err := inspect(ctx, m.connection, m.config, len(steps))
	if err != nil {
		return err
	}
	// Switching to the write-ahead log needs the file for itself for a moment.
	if err := patiently(ctx, m.config.BusyTimeout, func() error { return m.exec(ctx, "PRAGMA journal_mode = WAL") }); err != nil {
		return err
	}
	// A step that is done is not even looked at again: for that the file would
	// have to be locked, for which a process that appends all the time leaves
	// little room.
	for _, step := range steps[have:] {
		if err := m.apply(ctx, step, len(steps)); err != nil {
			return err
		}
	}
	return nil
}

// apply does one step unless it is done already.
func (m *migrator) apply(ctx context.Context, step migration.Step, newest int) (err error) {
	if err := patiently(ctx, m.config.BusyTimeout, func() error { return m.exec(ctx, "BEGIN IMMEDIATE") }); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The step's own error is what counts; an ended ctx must not keep the lock.
			_ = m.exec(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	have, err := schemaVersion(ctx, m.connection, m.config.Path, newest)
	if err != nil {
		return err
	}
	if have < step.Version {
		if err := m.execScript(ctx, step.Script); err != nil {
			return err
		}
		if err := m.mark(ctx, step.Version); err != nil {
			return err
		}
	}
	return m.exec(context.WithoutCancel(ctx), "COMMIT")
}

// mark notes that a step is done. With the first, the file gets its identity.
func (m *migrator) mark(ctx context.Context, version int) error {
	if version == 1 {
		id, err := uuid.NewRandom()
		if err != nil {
			return err
		}
		if err := m.exec(ctx, "INSERT INTO meta (only_row, store_id) VALUES (1, ?)", id[:]); err != nil {
			return err
		}
	}
	return m.execScript(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version))
}

// inspect is [schemaVersion] in a transaction of its own, so that it does not
// see half of what another process is doing. It waits while that process has
// the file for itself, as when it recovers the log of one that was killed.
func inspect(ctx context.Context, c *connection, config Config, newest int) (version int, err error) {
	err = patiently(ctx, config.BusyTimeout, func() (err error) {
		if err := c.exec(ctx, "BEGIN"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.exec(context.WithoutCancel(ctx), "ROLLBACK")) }()
		version, err = schemaVersion(ctx, c, config.Path, newest)
		return err
	})
	return version, err
}

// schemaVersion returns the schema version of the file, 0 if it is empty. A
// newer one than the program's is a [*eventstore.SchemaError]; a database that
// is not of this package is an [*event.InvalidError].
func schemaVersion(ctx context.Context, c *connection, path string, newest int) (int, error) {
	application, err := c.number(ctx, "PRAGMA application_id")
	if err != nil {
		return 0, err
	}
	version, err := c.number(ctx, "PRAGMA user_version")
	if err != nil {
		return 0, err
	}
	objects, err := c.number(ctx, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return 0, err
	}
	switch {
	case application == 0 && version == 0 && objects == 0:
		return 0, nil
	case application != applicationID:
		return 0, &event.InvalidError{
			Field: "path", Value: path,
			Reason: fmt.Sprintf("is a database of another program (application id %#x); an event store has a file of its own", application),
		}
	case version > int64(newest):
		return 0, &eventstore.SchemaError{Store: path, Have: int(version), Want: newest}
	default:
		return int(version), nil
	}
}
