package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// commit writes all changes or none. The error is errMoved if a key has another
// revision than was expected; [*event.TooLargeError] for more changes than a
// server takes at once, apart from those that may go ahead, or one that is too
// large; [eventstore.ErrFull] with [*StreamError] if there is no room; [*StreamError] for what the
// server refuses; and [*UnavailableError] if it is not known whether they were
// written: until the time of ctx is over they are sent again, under the same ids,
// so that they are written once at the most. First is the sequence of the first
// change, 0 if it is not known.
func (b *bucket) commit(ctx context.Context, changes []keyChange) (first uint64, err error) {
	if len(changes) <= mostChanges {
		return b.write(ctx, changes)
	}
	var early, rest []keyChange
	for _, c := range changes {
		if c.ahead {
			early = append(early, c)
		} else {
			rest = append(rest, c)
		}
	}
	if len(rest) > mostChanges {
		return 0, fmt.Errorf("%w; have fewer events in a batch", &event.TooLargeError{Field: "transaction", Size: len(rest), Limit: mostChanges, Unit: "changes"})
	}
	for i, some := range slices.Collect(slices.Chunk(early, mostChanges)) {
		written, err := b.write(ctx, some)
		if err != nil {
			return 0, err
		}
		if i == 0 {
			first = written
		}
	}
	_, err = b.write(ctx, rest)
	return first, err
}

// write is commit for as many changes as the server takes at once.
func (b *bucket) write(ctx context.Context, changes []keyChange) (first uint64, err error) {
	if len(changes) == 0 {
		return 0, nil
	}
	id := uuid.NewString()
	doing := "write " + changes[0].key
	sent := false
	for tries := newTries(); ; {
		if err := b.mayWrite(ctx, doing, sent); err != nil {
			return 0, err
		}
		last, err := b.send(ctx, id, changes)
		if err == nil {
			return last - uint64(len(changes)) + 1, nil
		}
		again, known := b.outcome(ctx, id, changes, err, sent)
		if !again {
			return 0, b.writeError(doing, changes, known)
		}
		sent = sent || isUnknown(err) || codeOf(err) == codeWrongSequence
		if late := tries.wait(ctx); late != nil {
			return 0, unavailable(doing, errors.Join(err, late))
		}
	}
}

// mayWrite refuses to begin without a connection: what was not sent is known not
// to be written.
func (b *bucket) mayWrite(ctx context.Context, doing string, sent bool) error {
	if err := ctx.Err(); err != nil {
		if sent {
			return unavailable(doing, err)
		}
		return fmt.Errorf("%s: %w", doing, err)
	}
	if !sent && !b.js.Conn().IsConnected() {
		return unavailable(doing, nats.ErrDisconnected)
	}
	return nil
}

// outcome says whether the same is to be sent again after an answer that is no
// acknowledgement, and, if not, what the answer means.
func (b *bucket) outcome(ctx context.Context, id string, changes []keyChange, answer error, sent bool) (again bool, known error) {
	switch code := codeOf(answer); {
	case code == codeBatchDuplicate: // the ids are this commit's alone
		return false, nil
	case code == codeWrongSequence && (sent || b.replicas > 1):
		return b.overtaken(ctx, id, changes)
	case code == codeWrongSequence:
		return false, errMoved
	case code == codeSequenceInHand, code == codeDuplicateInHand, code == codeBatchIncomplete, code == codeBatchesInHand:
		return true, nil
	case errors.Is(answer, nats.ErrMaxPayload), code == codeStoreFailed, isRefusal(answer):
		return false, answer
	default:
		return true, nil
	}
}

// overtaken says the same after the answer that a key has another revision than was
// expected. That may be the work of this very commit, whose acknowledgement was
// lost. And where nothing has another revision, a leader has said so that was cut
// off from the others, while the one that they follow may have taken it.
func (b *bucket) overtaken(ctx context.Context, id string, changes []keyChange) (again bool, known error) {
	keys := make([]string, len(changes))
	for i := range changes {
		keys[i] = changes[i].key
	}
	found, err := b.findWithAbout(ctx, keys)
	if err != nil {
		return true, nil //nolint:nilerr // what is not answered is not known.
	}
	moved := false
	for i := range changes {
		c := &changes[i]
		if found[c.key].id == messageID(id, i) {
			return false, nil
		}
		moved = moved || c.guarded && found[c.key].revision != c.revision
	}
	if moved {
		return false, errMoved
	}
	return true, nil
}

// isUnknown reports whether what was sent may have been written.
func isUnknown(err error) bool {
	answer, ok := errors.AsType[*natsjs.APIError](err)
	return !ok || answer.Code >= 500 && answer.ErrorCode != codeDuplicateInHand
}

// writeError gives an answer a type.
func (b *bucket) writeError(doing string, changes []keyChange, err error) error {
	if err == nil || errors.Is(err, errMoved) {
		return err
	}
	for i := range changes {
		m := &nats.Msg{Subject: b.root + changes[i].key, Data: changes[i].data}
		if limit := b.js.Conn().MaxPayload(); int64(m.Size()) > limit || len(changes) == 1 {
			if tooLarge := sizeError(m, limit, err); tooLarge != nil {
				return fmt.Errorf("write %s: %w", changes[i].key, tooLarge)
			}
		}
	}
	if codeOf(err) == codeStoreFailed {
		return fmt.Errorf("%s: %w", doing, errors.Join(eventstore.ErrFull, &StreamError{Stream: b.stream, Setting: "max_bytes", Have: "reached", Want: "larger", Reason: "there is no room"}, err))
	}
	return fmt.Errorf("%s: %w", doing, errors.Join(&StreamError{Stream: b.stream, Setting: "configuration", Have: "refused by the server", Want: "accepted", Reason: err.Error()}, err))
}

// send sends all changes once and waits for one answer. Last is the sequence of
// the last change.
func (b *bucket) send(ctx context.Context, id string, changes []keyChange) (last uint64, err error) {
	limited, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if len(changes) == 1 {
		return b.acknowledged(b.js.PublishMsg(limited, b.message(id, 0, &changes[0]), natsjs.WithRetryAttempts(0)))
	}
	return b.sendBatch(limited, id, changes)
}

// acknowledged takes note of an acknowledgement.
func (b *bucket) acknowledged(ack *natsjs.PubAck, err error) (last uint64, _ error) {
	if err != nil {
		return 0, err
	}
	b.heard(ack.Sequence)
	return ack.Sequence, nil
}

// sendBatch sends changes that are written together. Each attempt is a batch of
// its own; the ids of the messages stay.
func (b *bucket) sendBatch(ctx context.Context, id string, changes []keyChange) (last uint64, err error) {
	batch, conn, end := uuid.NewString(), b.js.Conn(), len(changes)-1
	for i := range end {
		if err := conn.PublishMsg(b.batched(batch, id, i, changes)); err != nil {
			return 0, err
		}
	}
	m := b.batched(batch, id, end, changes)
	m.Header[batchCommitHeader] = []string{"1"}
	answer, err := conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, err
	}
	return b.acknowledged(parseAck(answer.Data))
}

// batched is a change as a message of a batch.
func (b *bucket) batched(batch, id string, place int, changes []keyChange) *nats.Msg {
	m := b.message(id, place, &changes[place])
	m.Header[batchIDHeader] = []string{batch}
	m.Header[batchSequenceHeader] = []string{strconv.Itoa(place + 1)}
	return m
}

// parseAck reads the answer to a batch.
func parseAck(data []byte) (*natsjs.PubAck, error) {
	var answer struct {
		natsjs.PubAck

		Error *natsjs.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	if answer.Stream == "" {
		return nil, natsjs.ErrInvalidJSAck
	}
	return &answer.PubAck, nil
}

func messageID(id string, place int) string { return id + "/" + strconv.Itoa(place) }

// message is a change as it is sent.
func (b *bucket) message(id string, place int, c *keyChange) *nats.Msg {
	header := nats.Header{
		natsjs.MsgIDHeader:          []string{messageID(id, place)},
		natsjs.ExpectedStreamHeader: []string{b.stream},
	}
	if c.guarded {
		header[natsjs.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(c.revision, 10)}
	}
	if c.data == nil {
		header[headerOperation] = []string{"DEL"}
		header[headerTTL] = []string{markTTL}
	}
	return &nats.Msg{Subject: b.root + c.key, Header: header, Data: c.data}
}

// commitEach writes changes each for itself, and returns the keys of those that
// have another revision than was expected.
func (b *bucket) commitEach(ctx context.Context, changes []keyChange) (moved map[string]bool, err error) {
	const atOnce = 32
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		queue = make(chan keyChange)
	)
	moved = make(map[string]bool)
	for range min(atOnce, len(changes)) {
		wg.Go(func() {
			for c := range queue {
				_, err := b.commit(ctx, []keyChange{c})
				mu.Lock()
				if errors.Is(err, errMoved) {
					moved[c.key] = true
				} else {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range changes {
		queue <- c
	}
	close(queue)
	wg.Wait()
	return moved, errors.Join(errs...)
}

// purge takes away for good what was written below patterns before a sequence. It
// is of no consequence if it fails: what it would take away nobody reads, and it
// goes with what is purged the next time.
func (b *bucket) purge(ctx context.Context, before uint64, patterns ...string) {
	limited, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	stream, err := b.js.Stream(limited, b.stream)
	if err != nil || before <= 1 {
		b.log.Debug("what was cleared stays for now", zap.Error(err))
		return
	}
	for _, pattern := range patterns {
		if err := stream.Purge(limited, natsjs.WithPurgeSubject(b.root+pattern), natsjs.WithPurgeSequence(before)); err != nil {
			b.log.Debug("what was cleared stays for now", zap.Error(err))
		}
	}
}
