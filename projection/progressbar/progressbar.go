// Package progressbar draws how far projections have come as a bar on a
// terminal.
package progressbar

import (
	"fmt"
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"

	"github.com/evident-go/evident/projection"
)

// Bar draws the progress of one or several projections in one line: the least
// share of the log that any of them has done. Its Update is made for
// [projection.Config.OnProgress]. It is safe for concurrent use.
type Bar struct {
	mu   sync.Mutex
	bar  *progressbar.ProgressBar
	seen map[string]projection.Status
}

// New returns a bar that draws on w, usually os.Stderr, under a title.
func New(w io.Writer, title string) *Bar {
	return &Bar{
		bar: progressbar.NewOptions64(0,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription(title),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("events"),
			progressbar.OptionOnCompletion(func() { fmt.Fprintln(w) }), // a terminal that is gone is not worth an error
		),
		seen: make(map[string]projection.Status),
	}
}

// Update draws a projection's progress.
func (b *Bar) Update(s projection.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[s.Projection] = s
	slowest := s
	for _, other := range b.seen {
		if other.Done() < slowest.Done() {
			slowest = other
		}
	}
	b.bar.ChangeMax64(int64(slowest.Head))   //nolint:gosec // a log of 2^63 events does not exist.
	_ = b.bar.Set64(int64(slowest.Position)) //nolint:gosec // as above
}
