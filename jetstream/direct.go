package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/evident-go/evident/eventstore"
)

// Headers of what is read directly.
const (
	replyStatus      = "Status"
	replyDescription = "Description"
	replySubject     = "Nats-Subject"
	replySequence    = "Nats-Sequence"
	replyLast        = "Nats-Last-Sequence"
)

// pageBytes is where a server ends an answer of several messages.
const pageBytes = 4 << 20

// pageQuestion asks any replica for several messages: the last on each of some
// subjects, or those from a place on.
type pageQuestion struct {
	LastOf   []string `json:"multi_last,omitempty"`
	Seq      uint64   `json:"seq,omitempty"`
	Next     string   `json:"next_by_subj,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
}

// page returns what one replica says, whole up to where the server ended it. That
// may be less than was asked for: the replica may be behind, or the page full. It
// is never shortened by a time-out or by messages that were lost on the way: an
// answer counts only with its end mark, and each message names the one before.
func (s *Store) page(ctx context.Context, q pageQuestion) (messages []message, err error) {
	q.MaxBytes = pageBytes
	asked, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	each := s.config.PublishTimeout
	if q.Next != "" {
		each = max(each, counting)
	}
	err = s.insist(ctx, "read stream "+s.stream, each, func(ctx context.Context) error {
		messages, err = s.pageOnce(ctx, asked)
		return err
	})
	return messages, err
}

func (s *Store) pageOnce(ctx context.Context, asked []byte) ([]message, error) {
	const doing = "read directly"
	reply, p := s.replies.expect()
	defer s.replies.forget(reply)
	if err := s.conn.PublishRequest(s.api.direct, reply, asked); err != nil {
		return nil, lost(doing, err)
	}
	select {
	case <-p.done:
		return p.messages, p.err
	case <-s.closing:
		return nil, eventstore.ErrClosed
	case <-ctx.Done():
		return nil, lost(doing, s.hint(ctx.Err()))
	}
}

// replies sorts out what is answered to which question. All answers of a store
// come by one subscription: servers would tell each other of every new one.
type replies struct {
	inbox string
	heard *nats.Subscription

	mu      sync.Mutex
	last    uint64
	waiting map[string]*pageReader
}

func newReplies(conn *nats.Conn) (*replies, error) {
	r := &replies{inbox: conn.NewInbox() + ".", waiting: make(map[string]*pageReader)}
	heard, err := conn.Subscribe(r.inbox+"*", r.hear)
	if err != nil {
		return nil, err
	}
	r.heard = heard
	return r, heard.SetPendingLimits(-1, -1) // pages are bounded, and whatever is dropped is noticed
}

func (r *replies) stop() { _ = r.heard.Unsubscribe() } // fails if the connection is closed already

// expect returns where to have a question answered.
func (r *replies) expect() (reply string, p *pageReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	reply, p = r.inbox+strconv.FormatUint(r.last, 36), &pageReader{done: make(chan struct{})}
	r.waiting[reply] = p
	return reply, p
}

func (r *replies) forget(reply string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, reply)
}

func (r *replies) hear(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.waiting[m.Subject]
	if p == nil {
		return
	}
	var done bool
	if done, p.err = p.take(m); done || p.err != nil {
		delete(r.waiting, m.Subject)
		close(p.done)
	}
}

// pageReader puts an answer together.
type pageReader struct {
	messages []message
	last     uint64
	err      error
	done     chan struct{} // closed when all else is final
}

// take reports whether the answer is complete.
func (p *pageReader) take(m *nats.Msg) (done bool, err error) {
	status := m.Header.Get(replyStatus)
	if status == "404" {
		return true, nil
	}
	if status != "" && status != "204" {
		return false, again(fmt.Errorf("the server answers %s %s", status, m.Header.Get(replyDescription)))
	}
	before, err := strconv.ParseUint(m.Header.Get(replyLast), 10, 64)
	if err != nil || before != p.last {
		return false, again(errors.New("a part of the answer was lost"))
	}
	if status == "204" {
		return true, nil
	}
	if p.last, err = strconv.ParseUint(m.Header.Get(replySequence), 10, 64); err != nil {
		return false, again(fmt.Errorf("a message without %s", replySequence))
	}
	p.messages = append(p.messages, message{subject: m.Header.Get(replySubject), seq: p.last, data: m.Data})
	return false, nil
}
