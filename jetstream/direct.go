package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
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
	err = s.insist(ctx, "read stream "+s.stream, func(ctx context.Context) error {
		messages, err = s.pageOnce(ctx, asked)
		return err
	})
	return messages, err
}

func (s *Store) pageOnce(ctx context.Context, asked []byte) ([]message, error) {
	const doing = "read directly"
	inbox := s.conn.NewRespInbox()
	answers, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, lost(doing, err)
	}
	defer func() { _ = answers.Unsubscribe() }()                      // fails if the connection is closed
	if err := answers.SetPendingLimits(-1, 2*pageBytes); err != nil { // what is dropped is noticed
		return nil, lost(doing, err)
	}
	if err := s.conn.PublishRequest(s.api.direct, inbox, asked); err != nil {
		return nil, lost(doing, err)
	}
	var p pageReader
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return nil, lost(doing, err)
		}
		if done, err := p.take(m); done || err != nil {
			return p.messages, err
		}
	}
}

// pageReader puts an answer together.
type pageReader struct {
	messages []message
	last     uint64
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
