package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/sqlite"
)

// hotFilesName is the name of the read model.
const hotFilesName = "hot_files"

// hotFiles counts the changes of each file. Rows and checkpoint are committed
// together, so that a change counts once, wherever the program is killed.
//
//docs:begin hotfiles
func hotFiles() *sqlite.Projection {
	return sqlite.NewProjection(hotFilesName, 1,
		sqlite.Table("hot_files",
			`id BLOB PRIMARY KEY, path TEXT NOT NULL, changes INTEGER NOT NULL,
			 present INTEGER NOT NULL, odd INTEGER NOT NULL, last_actor TEXT NOT NULL`,
			"CREATE INDEX hot_files_by_changes ON hot_files (changes DESC, path)"),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[FileAdded]) error {
			return count(ctx, tx, e.Event, e.Payload.Path, false, true)
		}),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[FileModified]) error {
			return count(ctx, tx, e.Event, e.Payload.Path, true, true)
		}),
		sqlite.On(func(ctx context.Context, tx *sql.Tx, e event.Of[FileDeleted]) error {
			return count(ctx, tx, e.Event, e.Payload.Path, true, false)
		}),
	)
}

// count adds a change of a file that should have been there before, or not, and
// is there afterwards, or not. It is odd if the file was not as it should be.
func count(ctx context.Context, tx *sql.Tx, e event.Event, path string, before, after bool) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO hot_files (id, path, changes, present, odd, last_actor)
		VALUES (?1, ?2, 1, ?4, ?3, ?5)
		ON CONFLICT (id) DO UPDATE SET
			changes = changes + 1, odd = odd + (present <> ?3), present = ?4, last_actor = ?5`,
		e.AggregateID[:], path, before, after, string(e.ActorID))
	return err
}

//docs:end hotfiles

// hotFile is one row.
type hotFile struct {
	Path    string
	Changes int
	Present bool
}

// hottest returns the files that were changed most often.
func hottest(ctx context.Context, db *sql.DB, limit int) (found []hotFile, err error) {
	rows, err := db.QueryContext(ctx, "SELECT path, changes, present FROM hot_files ORDER BY changes DESC, path LIMIT ?", limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var f hotFile
		if err := rows.Scan(&f.Path, &f.Changes, &f.Present); err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, rows.Err()
}

// pathOf returns the path of a file.
func pathOf(ctx context.Context, db *sql.DB, file string) (path string, err error) {
	id, err := uuid.Parse(file)
	if err != nil {
		return "", err
	}
	err = db.QueryRowContext(ctx, "SELECT path FROM hot_files WHERE id = ?", id[:]).Scan(&path)
	return path, err
}

// totals sums up the read model.
type totals struct {
	files, changes, odd int
	fingerprint         [sha256.Size]byte // of every row
}

func sumUp(ctx context.Context, db *sql.DB) (t totals, err error) {
	rows, err := db.QueryContext(ctx, "SELECT hex(id), path, changes, present, odd, last_actor FROM hot_files ORDER BY id")
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	hash := sha256.New()
	for rows.Next() {
		var id, path, actor string
		var changes, odd int
		var present bool
		if err := rows.Scan(&id, &path, &changes, &present, &odd, &actor); err != nil {
			return t, err
		}
		t.files, t.changes, t.odd = t.files+1, t.changes+changes, t.odd+odd
		fmt.Fprintf(hash, "%s %q %d %t %d %s\n", id, path, changes, present, odd, actor)
	}
	hash.Sum(t.fingerprint[:0])
	return t, rows.Err()
}
