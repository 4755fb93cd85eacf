package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Target is where an archive is written: a folder, a bucket. It is read as a
// file system and written file by file.
type Target interface {
	fs.FS
	// Put stores a file whole or not at all, in the place of one of the same
	// name. When it has returned nil the file outlives a crash. Names are those
	// of files without a folder. Content must not be kept.
	Put(ctx context.Context, name string, content []byte) error
}

// Dir returns the folder at path as a [Target]. It must exist. Files are
// written beside their place, forced to disk and renamed; what a crash leaves
// of that has a name that begins with a dot.
func Dir(path string) Target { return dir{FS: os.DirFS(path), path: path} }

type dir struct {
	fs.FS

	path string
}

// Put implements [Target].
func (d dir) Put(ctx context.Context, name string, content []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(d.path, ".writing-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	err = fill(temporary, content)
	if err == nil {
		err = os.Rename(temporary.Name(), filepath.Join(d.path, name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, errors.Join(err, os.Remove(temporary.Name())))
	}
	return syncDir(d.path)
}

// fill writes content and forces it to disk.
func fill(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir forces the names in a folder to disk. A failure leaves the file
// under its new name, which does no harm: it is whole.
func syncDir(path string) error {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
