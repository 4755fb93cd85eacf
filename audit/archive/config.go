package archive

import (
	"compress/gzip"
	"time"

	"github.com/evident-go/evident/event"
)

// Compression is how files are stored.
type Compression uint8

// The ways to store a file.
const (
	Gzip  Compression = iota // .ndjson.gz
	Plain                    // .ndjson, five to ten times as large
)

const (
	defaultFileBytes = 16 << 20
	maxFileBytes     = 1 << 30
)

// Config says what is archived and how. The zero value archives everything.
type Config struct {
	// Until is the last position that is archived; 0 for the store's head.
	Until uint64
	// RecordedBefore ends the archive in front of the first event that the store
	// has not recorded before this time; zero for no bound. A time that somebody
	// claimed for an event is not looked at.
	RecordedBefore time.Time
	// Select chooses events; nil for all. An archive of chosen events may have
	// holes in its streams. It must always choose the same, and Selection must
	// say what.
	Select func(e event.Event) bool
	// Selection names what Select chooses. It is kept in the manifest, and an
	// archive can only be extended under the same name.
	Selection string
	// FileBytes is how many bytes of lines a file holds, about: it ends with the
	// event that goes beyond. A file is held in memory while it is written.
	// Default 16 MiB, at the most 1 GiB.
	FileBytes int64
	// Compression of new files. Default [Gzip].
	Compression Compression
	// Now dates the manifest. Default [time.Now].
	Now func() time.Time
}

// Validate refuses what cannot be done. The error names the field.
func (c Config) Validate() error {
	if c.FileBytes < 0 || c.FileBytes > maxFileBytes {
		return &event.InvalidError{Field: "file_bytes", Reason: "must be between 0, which means the default, and 1 GiB"}
	}
	if c.Compression > Plain {
		return &event.InvalidError{Field: "compression", Reason: "must be archive.Gzip or archive.Plain"}
	}
	if (c.Select == nil) != (c.Selection == "") {
		return &event.InvalidError{Field: "selection", Value: c.Selection, Reason: "must be given together with Select, and only then"}
	}
	return event.ValidateText("selection", c.Selection, event.MaxMetadataBytes)
}

func (c Config) withDefaults() Config {
	if c.FileBytes == 0 {
		c.FileBytes = defaultFileBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Select == nil {
		c.Select = func(event.Event) bool { return true }
	}
	return c
}

// isTooYoung reports whether the archive must end in front of e.
func (c Config) isTooYoung(e *event.Event) bool {
	return !c.RecordedBefore.IsZero() && !e.RecordedAt.Before(c.RecordedBefore)
}

func (c Compression) suffix() string {
	if c == Plain {
		return ".ndjson"
	}
	return ".ndjson" + gzipSuffix
}

const (
	gzipSuffix = ".gz"
	gzipLevel  = gzip.DefaultCompression
)
