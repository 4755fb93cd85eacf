package jetstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
)

// Headers by which the server is told what has to be so.
const (
	expectedHeader   = natsjs.ExpectedLastSubjSeqHeader
	expectedOfHeader = natsjs.ExpectedLastSubjSeqSubjHeader
	notThere         = "0"
)

// send publishes everything once and returns the position of the last event.
func (d *delivery) send(ctx context.Context) (position uint64, what answer, err error) {
	return d.store.publish(ctx, d.messages())
}

// publish has messages stored, all or none, once, and returns the position of the
// last one.
func (s *Store) publish(ctx context.Context, messages []*nats.Msg) (position uint64, what answer, err error) {
	limited, cancel := context.WithTimeout(ctx, s.config.PublishTimeout)
	defer cancel()
	last := messages[len(messages)-1]
	if len(messages) > 1 {
		if err := s.publishBatch(messages); err != nil {
			if what = silence(err); what == answerUnknown {
				what = answerNothing // without the last message the batch is none
			}
			return 0, what, err
		}
	}
	reply, err := s.conn.RequestMsgWithContext(limited, last)
	ack, what, err := answerOf(reply, s.hint(err))
	if what == answerStored && len(messages) > 1 && ack.Count != len(messages) {
		return 0, answerRefused, fmt.Errorf("%d messages were sent as a batch and the server acknowledges %d", len(messages), ack.Count)
	}
	return ack.Seq, what, err
}

// publishBatch makes messages an atomic batch and publishes all but the last,
// which commits it.
func (s *Store) publishBatch(messages []*nats.Msg) error {
	id := []string{event.NewID().String()}
	for i, m := range messages {
		m.Header[batchIDHeader] = id
		m.Header[batchSequenceHeader] = []string{strconv.Itoa(i + 1)}
	}
	last := len(messages) - 1
	messages[last].Header[batchCommitHeader] = []string{batchCommit}
	for _, m := range messages[:last] {
		if err := s.conn.PublishMsg(m); err != nil {
			return err
		}
	}
	return nil
}

// messages are those of one attempt. They are the same in each but for the
// batch's id, as long as the bases are.
//
// The first event of a stream carries the expectation that its version is not
// there; the versions behind it are not there then either, since there are no
// holes. That a stream which is not written to has no further version is expected
// by one of the other events, or else by a message of its own in front of all.
func (d *delivery) messages() []*nats.Msg {
	all, free := make([]*nats.Msg, 0, len(d.bodies)), make([]*nats.Msg, 0, len(d.bodies))
	nothing := []string{notThere}
	for i := range d.appends {
		for j := range d.appends[i].Events {
			m := d.event(&d.appends[i].Events[j], versionOf(d.streams[i], d.bases[i]+uint64(j)+1), d.bodies[len(all)])
			if j == 0 {
				m.Header[expectedHeader] = nothing
			} else {
				free = append(free, m)
			}
			all = append(all, m)
		}
	}
	var guards []*nats.Msg
	for _, subject := range d.guarded() {
		if len(free) == 0 {
			free = []*nats.Msg{{Subject: d.store.subjects.guard, Header: make(nats.Header, 4)}}
			guards = append(guards, free[0])
		}
		free[0].Header[expectedHeader] = nothing
		free[0].Header[expectedOfHeader] = []string{subject}
		free = free[1:]
	}
	return append(guards, all...)
}

func (*delivery) event(e *event.Event, subject string, body []byte) *nats.Msg {
	const headers = 6
	header := make(nats.Header, headers)
	header[natsjs.MsgIDHeader] = []string{e.ID.String()}
	return &nats.Msg{Subject: subject, Header: header, Data: body}
}

// guarded returns the versions that must not be there although nothing of this
// append is stored at them.
func (d *delivery) guarded() []string {
	var subjects []string
	for i := range d.appends {
		if version, exact := d.appends[i].Expected.Version(); exact && len(d.appends[i].Events) == 0 {
			subjects = append(subjects, versionOf(d.streams[i], version+1))
		}
	}
	return subjects
}
