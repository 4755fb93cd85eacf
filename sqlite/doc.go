// Package sqlite keeps everything in one SQLite file: events, checkpoints, dead
// letters, leases, snapshots and the read models of projections, so that a
// projection's effects and its checkpoint commit together.
//
// [Migrate] makes the file, [Open] opens it:
//
//	config := sqlite.Config{Path: "documents.db"}
//	err := sqlite.Migrate(ctx, config)
//	store, err := sqlite.Open(ctx, config)
//
// The driver is modernc.org/sqlite, which is written in Go: no C compiler is
// needed. The file is in WAL mode, and by default an append returns when the
// disk has confirmed it. Several processes may use one file at the same time;
// one of them writes at a time.
//
// Appends that are made at the same time are written in one transaction, each
// judged by its own expectations, so that many writers share the disk's
// confirmation.
//
// Rows of the events table are refused to be updated or deleted by triggers,
// for everybody. A trigger that would also refuse INSERT OR REPLACE on an
// event, from a program other than this package's, would make every append
// three times as slow; there is none.
//
// A [Projection] is put together from typed handlers, which get the
// transaction, and tables; [Store.DB] is for queries.
package sqlite
