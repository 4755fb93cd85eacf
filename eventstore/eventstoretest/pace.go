package eventstoretest

import (
	"context"
	"sync"
)

// pace keeps writers and readers together, however fast the store and however
// busy the machine is: writers go on when a reader has looked, and readers
// look until all writers are done.
type pace struct {
	mu      sync.Mutex
	writing int
	look    chan struct{} // closed by the next look
}

func newPace(writers int) *pace {
	return &pace{writing: writers, look: make(chan struct{})}
}

// looked says that a reader has looked.
func (p *pace) looked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.look)
	p.look = make(chan struct{})
}

// wait returns when a reader has looked again, or ctx has ended.
func (p *pace) wait(ctx context.Context) {
	p.mu.Lock()
	look := p.look
	p.mu.Unlock()
	select {
	case <-look:
	case <-ctx.Done():
	}
}

// written says that a writer is done.
func (p *pace) written() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
}

// done reports whether all writers are.
func (p *pace) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writing == 0
}
