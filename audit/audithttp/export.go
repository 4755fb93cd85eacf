package audithttp

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
)

// chunk is how much of an export is collected before it is sent.
const chunk = 64 << 10

// export streams everything that matches, up to the end that the log has now.
// The reading is recorded first. It has no deadline of its own: it goes on as
// long as the client keeps reading.
func (l listed[T]) export(x *exchange, w want) error {
	end, err := l.end(x.r.Context())
	if err != nil {
		return err
	}
	if err := x.recordReading(x.route.exported(), w.details(x.format, end, -1)); err != nil {
		return err
	}
	contentType := x.format
	if x.format == typeCSV {
		contentType = "text/csv; charset=utf-8; header=present"
	}
	x.w.Header().Set("Content-Disposition", `attachment; filename="audit`+extension(x.format)+`"`)
	x.begin(http.StatusOK, contentType)
	if x.r.Method == http.MethodHead {
		return nil
	}
	ctx := auth.With(x.arrived.Context(), x.who)
	out := newOutlet(x)
	if x.format == typeCSV {
		err = l.writeCSV(ctx, out, w, end)
	} else {
		err = l.writeNDJSON(ctx, out, w, end)
	}
	if err != nil {
		return err
	}
	return out.end()
}

func extension(format string) string {
	if format == typeCSV {
		return ".csv"
	}
	return ".ndjson"
}

func (l listed[T]) writeNDJSON(ctx context.Context, out *outlet, w want, end uint64) error {
	count := uint64(0)
	for item, err := range l.find(ctx, audit.Page{OldestFirst: w.oldestFirst, Before: end + 1}) {
		if err != nil {
			return err
		}
		line, err := l.encode(item)
		if err != nil {
			return err
		}
		if err := out.line(line); err != nil {
			return err
		}
		count++
	}
	trailer := trailerJSON{Count: count, SHA256: hex.EncodeToString(out.sum.Sum(nil)), AsOf: asOfJSON{end}}
	line, err := json.Marshal(map[string]trailerJSON{"trailer": trailer})
	if err != nil {
		return err
	}
	return out.line(line)
}

// trailerJSON ends an NDJSON export. The digest is of all lines before it.
type trailerJSON struct {
	Count  uint64   `json:"count,string"`
	SHA256 string   `json:"sha256"`
	AsOf   asOfJSON `json:"as_of"`
}

func (l listed[T]) writeCSV(ctx context.Context, out *outlet, w want, end uint64) error {
	if err := out.line(csvLine(l.columns)); err != nil {
		return err
	}
	for item, err := range l.find(ctx, audit.Page{OldestFirst: w.oldestFirst, Before: end + 1}) {
		if err != nil {
			return err
		}
		if err := out.line(csvLine(l.row(item))); err != nil {
			return err
		}
	}
	return nil
}

// outlet collects lines, sends them in chunks, and keeps their digest. For each
// chunk the client has so long; one that does not read any more is left.
type outlet struct {
	*bufio.Writer

	to  *patient
	sum hash.Hash
}

func newOutlet(x *exchange) *outlet {
	to := &patient{w: x.w, control: http.NewResponseController(x.w), patience: x.h.config.StallTimeout}
	to.rest()
	return &outlet{Writer: bufio.NewWriterSize(to, chunk), to: to, sum: sha256.New()}
}

// end sends what is left. The server's own last bytes have their time, too.
func (o *outlet) end() error {
	err := o.Flush()
	o.to.hurry()
	return err
}

func (o *outlet) line(line []byte) error {
	line = append(line, '\n')
	_, _ = o.sum.Write(line) // never fails.
	_, err := o.Write(line)
	return err
}

// patient moves the deadline of the connection with each write.
type patient struct {
	w        io.Writer
	control  *http.ResponseController
	patience time.Duration
}

// Write implements [io.Writer].
func (p *patient) Write(data []byte) (int, error) {
	p.hurry()
	n, err := p.w.Write(data)
	if err == nil {
		_ = p.control.Flush() // the same.
	}
	p.rest()
	return n, err
}

// hurry sets the deadline of what is written next. A writer without deadlines is
// one of a test, or of a middleware that has its own.
func (p *patient) hurry() { _ = p.control.SetWriteDeadline(deadline(p.patience)) }

// rest takes the deadline away, the server's too: between two chunks it is the
// log that takes its time, and HTTP/2 ends a stream when a deadline passes,
// whether anything is being written or not.
func (p *patient) rest() { _ = p.control.SetWriteDeadline(time.Time{}) }

// deadline is a time for the operating system, which knows no injected clock.
func deadline(in time.Duration) time.Time {
	return time.Now().Add(in) //nolint:forbidigo // a connection's deadline is of the machine's clock
}

// csvNumber is a number in a CSV column, "" for none.
func csvNumber(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
