package sqlite

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Config says which file a store is and how it behaves. Only Path is required.
type Config struct {
	// Path is the database file. Beside it SQLite keeps two more, with "-wal"
	// and "-shm" added to the name. The file must be on a local disk: SQLite's
	// write-ahead log does not work over a network. Required.
	Path string
	// Limits bounds what an append may hold. Default [eventstore.DefaultLimits].
	Limits eventstore.Limits
	// Now is the store's clock: of recorded-at times, checkpoints and leases.
	// Default [time.Now]. It must be safe for concurrent use.
	Now func() time.Time
	// Synchronous says when a commit counts as done. Default [SynchronousFull].
	Synchronous Synchronous
	// BusyTimeout is how long a write waits for another process that writes to
	// the same file before it fails with [eventstore.ErrUnavailable]. Default 5 s.
	BusyTimeout time.Duration
	// Readers is how many reads of events run at the same time; further ones
	// wait for their turn. A read takes part only while it fetches a page, so
	// reads inside reads cannot block each other. Default 4.
	Readers int
	// PollInterval is how often Wait looks for appends of other processes; those
	// of its own process it learns of at once. While nothing happens the pause
	// grows to ten times as much. Default 50 ms.
	PollInterval time.Duration
}

// Synchronous says when a commit counts as done.
type Synchronous uint8

const (
	// SynchronousFull waits until the disk says that it has written: what was
	// acknowledged survives a power failure. It is the default.
	SynchronousFull Synchronous = iota
	// SynchronousNormal leaves it to the operating system when to write. What
	// was acknowledged survives a crash of the process; a power failure may
	// lose the last commits, and leaves the file whole.
	SynchronousNormal
)

const (
	defaultBusyTimeout  = 5 * time.Second
	defaultReaders      = 4
	defaultPollInterval = 50 * time.Millisecond
)

// Validate checks the configuration. The error is an [*event.InvalidError] that
// names the field.
func (c Config) Validate() error {
	switch {
	case c.Path == "":
		return &event.InvalidError{Field: "path", Reason: "must name the database file"}
	case strings.HasPrefix(c.Path, ":memory:"), strings.HasPrefix(c.Path, "file:"), strings.IndexByte(c.Path, 0) >= 0:
		return &event.InvalidError{Field: "path", Value: c.Path, Reason: "must be the path of a file; for a store in memory use package memory"}
	case c.Synchronous > SynchronousNormal:
		return &event.InvalidError{Field: "synchronous", Reason: "must be sqlite.SynchronousFull or sqlite.SynchronousNormal"}
	case c.BusyTimeout < 0:
		return &event.InvalidError{Field: "busy_timeout", Value: c.BusyTimeout.String(), Reason: "must not be negative; 0 means the default"}
	case c.Readers < 0:
		return &event.InvalidError{Field: "readers", Value: strconv.Itoa(c.Readers), Reason: "must not be negative; 0 means the default"}
	case c.PollInterval < 0:
		return &event.InvalidError{Field: "poll_interval", Value: c.PollInterval.String(), Reason: "must not be negative; 0 means the default"}
	}
	return c.Limits.Validate()
}

// checkFolder says what keeps the file from being created. SQLite says only
// that it could not open it.
func (c Config) checkFolder() error {
	folder := filepath.Dir(c.Path)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &event.InvalidError{Field: "path", Value: c.Path, Reason: "is in a folder that does not exist: create it first"}
	case err != nil:
		return &Error{Op: "open", Path: c.Path, Err: err}
	case !info.IsDir():
		return &event.InvalidError{Field: "path", Value: c.Path, Reason: "is not in a folder: " + folder + " is a file"}
	}
	info, err = os.Stat(c.Path)
	if err == nil && info.IsDir() {
		return &event.InvalidError{Field: "path", Value: c.Path, Reason: "is a folder; name a file in it"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return c.checkWritable(folder)
	}
	return nil
}

// checkWritable finds out whether a file can be created, with one of another
// name: to open and close the database's own file would end the locks that
// this process may hold on it.
func (c Config) checkWritable(folder string) error {
	file, err := os.CreateTemp(folder, ".evident-*")
	if err == nil {
		err = errors.Join(file.Close(), os.Remove(file.Name()))
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return &Error{Op: "open", Path: c.Path, Code: sqlite3.SQLITE_READONLY, Err: err}
	}
	if err != nil {
		return &Error{Op: "open", Path: c.Path, Err: err}
	}
	return nil
}

// withDefaults returns c with zero fields set.
func (c Config) withDefaults() Config {
	c.Limits = c.Limits.OrDefault()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = defaultBusyTimeout
	}
	if c.Readers == 0 {
		c.Readers = defaultReaders
	}
	if c.PollInterval == 0 {
		c.PollInterval = defaultPollInterval
	}
	return c
}

// The modes in which the file is opened.
const (
	modeRead   = "ro"
	modeWrite  = "rw"
	modeCreate = "rwc"
)

// source returns the driver's name for the file: a URI with what each new
// connection is set to.
func (c Config) source(mode string) (string, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return "", &Error{Op: "open", Path: c.Path, Err: err}
	}
	settings := url.Values{
		"mode":          {mode},
		"_busy_timeout": {strconv.FormatInt(c.BusyTimeout.Milliseconds(), 10)},
		"_error_rc":     {"1"},
		"_time_format":  {"sqlite"}, // what handlers bind as time.Time can be compared and read back
	}
	if mode != modeRead {
		settings["_txlock"] = []string{"immediate"}
		settings["_synchronous"] = []string{c.synchronous()}
		settings["_pragma"] = []string{
			"cache_size(-16384)",    // KiB: the upper levels of all indexes, for inserts
			"recursive_triggers(1)", // so that INSERT OR REPLACE meets the trigger that refuses to delete events
		}
	}
	file := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/"), RawQuery: settings.Encode()}
	return file.String(), nil
}

func (c Config) synchronous() string {
	if c.Synchronous == SynchronousNormal {
		return "NORMAL"
	}
	return "FULL"
}
