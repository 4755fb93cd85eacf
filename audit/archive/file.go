package archive

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/evident-go/evident/event"
)

const namePrefix = "events-"

// composition is a file that is being made, in memory.
type composition struct {
	compression Compression
	encoder     encoder
	content     bytes.Buffer
	to          io.WriteCloser // into content; nil while it is empty
	file        File
}

func (c *composition) add(e *event.Event) error {
	line, err := c.encoder.encode(e)
	if err != nil {
		return fmt.Errorf("archive event %s at position %d: %w", e.ID, e.Position, err)
	}
	if c.to == nil {
		c.begin(e)
	}
	if _, err := c.to.Write(line); err != nil {
		return err
	}
	c.file.Bytes += int64(len(line))
	c.file.Events++
	c.file.Last, c.file.LastID, c.file.RecordedUntil = e.Position, e.ID, e.RecordedAt
	return nil
}

func (c *composition) begin(first *event.Event) {
	c.file.First, c.file.RecordedFrom = first.Position, first.RecordedAt
	c.to = plainWriter{&c.content}
	if c.compression == Gzip {
		c.to, _ = gzip.NewWriterLevel(&c.content, gzipLevel) // the level is valid
	}
}

// end returns the file, which covers what is above after up to until, and is
// named after what is in it: a file that is written again is the same file. The
// content is valid until the next event is added.
func (c *composition) end(after, until uint64) (File, []byte, error) {
	if err := c.to.Close(); err != nil {
		return File{}, nil, err
	}
	sum := sha256.Sum256(c.content.Bytes())
	f := c.file
	f.After, f.Until = after, until
	f.Size, f.SHA256 = int64(c.content.Len()), hex.EncodeToString(sum[:])
	f.Name = fmt.Sprintf("%s%020d-%s%s", namePrefix, f.First, f.SHA256[:12], c.compression.suffix())
	return f, c.content.Bytes(), nil
}

func (c *composition) reset() {
	c.content.Reset()
	c.to, c.file = nil, File{}
}

// plainWriter has nothing to do at its end.
type plainWriter struct{ io.Writer }

// Close implements [io.Closer].
func (plainWriter) Close() error { return nil }
