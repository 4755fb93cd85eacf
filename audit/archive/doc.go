// Package archive copies old events out of a store into files that anybody can
// read, check and search.
//
// An archive is a folder: files of events, one JSON object a line (NDJSON, with
// gzip unless [Config] says otherwise), and manifest.json, which names them with
// their checksums and says of which store and up to which position the archive
// is complete. [Write] makes or extends it:
//
//	result, err := archive.Write(ctx, store, archive.Dir("/var/archive"), archive.Config{RecordedBefore: lastYear})
//
// A file is never changed. A file is stored whole before the manifest names it,
// and the manifest is replaced whole, so a crash at any point leaves an archive
// that is smaller, never one that lies; the next Write goes on from there.
//
// [Open] returns a [Reader]: a read-only [eventstore.Store], so that all that
// reads a store reads an archive, too. [Reader.Records] searches it with the
// same queries as the audit log. [Verify] reads everything and says which line
// of which file is damaged.
//
// The checksums show damage. They do not show forgery: whoever can write to the
// folder can write a manifest as well. Nothing is taken out of the store.
package archive
