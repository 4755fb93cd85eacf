package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/evident-go/evident/event"
)

// Commit is one commit: who changed which files when, and what it came after.
type Commit struct {
	Hash    string        `json:"commit"`
	At      time.Time     `json:"at"`
	Actor   event.ActorID `json:"actor"`
	Parent  string        `json:"parent"` // "" for the first
	Changes []Change      `json:"changes"`
}

// Change is what a commit did to one file.
type Change struct {
	Op   string // "A" for added, "M" for modified, "D" for deleted
	Path string
}

// UnmarshalJSON reads a change in its short form: ["M","README.md"].
func (c *Change) UnmarshalJSON(data []byte) error {
	var pair [2]string
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	c.Op, c.Path = pair[0], pair[1]
	return nil
}

// payload returns the event that a change is.
func (c Change) payload() (event.Payload, error) {
	switch c.Op {
	case "A":
		return FileAdded{Path: c.Path}, nil
	case "M", "T": // T: a file has become a link, or the other way round
		return FileModified{Path: c.Path}, nil
	case "D":
		return FileDeleted{Path: c.Path}, nil
	default:
		return nil, fmt.Errorf("change %q of %q is none of A, M and D", c.Op, c.Path)
	}
}

// source is where a history is read from.
type source interface {
	// count returns how many commits there are.
	count(ctx context.Context) (int, error)
	// commits yields them, each after its parent.
	commits(ctx context.Context) iter.Seq2[Commit, error]
}

// openSource returns the history of a repository, or of a file.
func openSource(path string) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return repository{folder: path}, nil
	}
	return file{path: path}, nil
}

// file is a history in a file, plain or compressed, one commit a line.
type file struct{ path string }

func (f file) count(ctx context.Context) (int, error) {
	n := 0
	for _, err := range f.commits(ctx) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func (f file) commits(ctx context.Context) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		opened, err := os.Open(filepath.Clean(f.path))
		if err != nil {
			yield(Commit{}, err)
			return
		}
		defer opened.Close() //nolint:errcheck // it was only read.
		text, err := decompressed(opened)
		if err != nil {
			yield(Commit{}, fmt.Errorf("%s: %w", f.path, err))
			return
		}
		f.decode(ctx, json.NewDecoder(text), yield)
	}
}

func (f file) decode(ctx context.Context, lines *json.Decoder, yield func(Commit, error) bool) {
	for number := 1; ctx.Err() == nil; number++ {
		var c Commit
		err := lines.Decode(&c)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil && c.Hash == "" {
			err = errors.New(`"commit" is empty`)
		}
		if err != nil {
			yield(Commit{}, fmt.Errorf("%s: commit %d: %w", f.path, number, err))
			return
		}
		if !yield(c, nil) {
			return
		}
	}
	yield(Commit{}, ctx.Err())
}

// decompressed returns the text of r, which may be compressed by gzip.
func decompressed(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	return gzip.NewReader(buffered)
}
