package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// bucket reads and writes keys. Nothing that it returns is older than what was
// acknowledged to anybody when it was asked, unless a leader answers that was cut
// off from the others: then find returns nothing older than what this process has
// heard of, and get may. Who writes what he has read is refused in that case.
type bucket struct {
	js       natsjs.JetStream
	stream   string
	root     string // of subjects, before the key
	api      string // of questions, before their name
	replicas int
	timeout  time.Duration
	log      *zap.Logger
	newest   atomic.Uint64 // the highest sequence that this process has heard of
}

func newBucket(js natsjs.JetStream, c progressConfig, replicas int) *bucket {
	name := bucketName(c.prefix)
	b := &bucket{js: js, stream: "KV_" + name, root: "$KV." + name + ".", api: apiPrefix(js.Options()), replicas: replicas, timeout: c.timeout, log: c.logger}
	if b.log == nil {
		b.log = zap.NewNop()
	}
	return b
}

// apiPrefix returns how the subjects of questions begin.
func apiPrefix(o natsjs.JetStreamOptions) string {
	switch {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	default:
		return natsjs.DefaultAPIPrefix
	}
}

// cell is what is at a key.
type cell struct {
	data     []byte // nil if there is nothing
	revision uint64 // 0 if there was never anything
	id       string // of the message
}

// keyChange is what is to be written at a key.
type keyChange struct {
	key      string
	data     []byte // nil to remove it
	guarded  bool   // whether the key must have the revision
	revision uint64
	ahead    bool // whether it may be written before the others: nobody reads it without one of them
}

var (
	// errMoved says that a key has another revision than was expected.
	errMoved = errors.New("somebody else has written meanwhile")
	// errTorn says that what was read does not go together: it was changed
	// between two questions.
	errTorn = errors.New("it was changed while it was read")
)

const (
	// markTTL is how long the mark stays of a key that was removed.
	markTTL = "1h"
	// mostChanges is what a server takes at once.
	mostChanges = 1000
	// mostKeys bounds the keys of one question; servers answer 1,024 at the most.
	mostKeys = 500
)

// Headers of the server that the client has no name for.
const (
	headerUpTo      = "Nats-UpTo-Sequence"
	headerPending   = "Nats-Num-Pending"
	headerTTL       = "Nats-TTL"
	headerOperation = "KV-Operation"
)

// ask sends a question about the stream and returns the answer.
func (b *bucket) ask(ctx context.Context, question string, body any) (*nats.Msg, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.js.Conn().RequestWithContext(limited, b.api+question+"."+b.stream, data)
}

// insist repeats a question until f has an answer: what is not answered is not
// known, and nothing follows from it. An error of f that is not worth another
// attempt is in final.
func (b *bucket) insist(ctx context.Context, doing string, f func(ctx context.Context) (final, err error)) error {
	for tries := newTries(); ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if !b.js.Conn().IsConnected() {
			return unavailable(doing, nats.ErrDisconnected)
		}
		final, err := f(ctx)
		if final != nil || err == nil {
			return final
		}
		if late := tries.wait(ctx); late != nil {
			return unavailable(doing, errors.Join(err, late))
		}
	}
}

// get returns what is at a key, as its leader has it.
func (b *bucket) get(ctx context.Context, key string) (found cell, err error) {
	doing := "read key " + key
	err = b.insist(ctx, doing, func(ctx context.Context) (final, err error) {
		answer, err := b.ask(ctx, "STREAM.MSG.GET", map[string]string{"last_by_subj": b.root + key})
		if err != nil {
			return nil, err
		}
		found, err = parseStored(answer.Data)
		if isRefusal(err) {
			return streamAnswer(ctx, b.stream, doing, err), err
		}
		return nil, err
	})
	b.heard(found.revision)
	return found, err
}

// parseStored reads the leader's answer for one key.
func parseStored(data []byte) (cell, error) {
	var answer struct {
		Error   *natsjs.APIError `json:"error"`
		Message *struct {
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return cell{}, err
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == natsjs.JSErrCodeMessageNotFound {
			return cell{}, nil
		}
		return cell{}, answer.Error
	}
	if answer.Message == nil {
		return cell{}, errors.New("answer without a message")
	}
	header := nats.Header{}
	if len(answer.Message.Header) > 0 {
		var err error
		if header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return cell{}, err
		}
	}
	return cellOf(header, answer.Message.Data, answer.Message.Sequence), nil
}

func cellOf(header nats.Header, data []byte, revision uint64) cell {
	c := cell{data: data, revision: revision, id: header.Get(natsjs.MsgIDHeader)}
	if header.Get(headerOperation) != "" {
		c.data = nil
	} else if c.data == nil {
		c.data = []byte{}
	}
	return c
}

// info asks the stream's leader about the stream.
func (b *bucket) info(ctx context.Context) (info *natsjs.StreamInfo, err error) {
	doing := "look at stream " + b.stream
	err = b.insist(ctx, doing, func(ctx context.Context) (final, err error) {
		limited, cancel := context.WithTimeout(ctx, b.timeout)
		defer cancel()
		stream, err := b.js.Stream(limited, b.stream)
		if err == nil {
			info = stream.CachedInfo()
		}
		return b.refused(ctx, doing, err), err
	})
	return info, err
}

// refused returns what an answer means that another attempt would not change, or nil.
func (b *bucket) refused(ctx context.Context, doing string, err error) error {
	if isRefusal(err) {
		return streamAnswer(ctx, b.stream, doing, err)
	}
	return nil
}

// heard takes note of a sequence.
func (b *bucket) heard(sequence uint64) {
	for known := b.newest.Load(); known < sequence; known = b.newest.Load() {
		if b.newest.CompareAndSwap(known, sequence) {
			return
		}
	}
}

// fresh returns the sequence up to which an answer must go that may come from any
// replica. One that is alone has everything.
func (b *bucket) fresh(ctx context.Context) (uint64, error) {
	if b.replicas > 1 {
		info, err := b.info(ctx)
		if err != nil {
			return 0, err
		}
		b.heard(info.State.LastSeq)
	}
	return b.newest.Load(), nil
}

// find returns what is at keys, and at all keys that patterns take, by key. Where
// there is nothing, nothing is returned, or a cell without data.
func (b *bucket) find(ctx context.Context, patterns ...string) (map[string]cell, error) {
	found, err := b.findWithAbout(ctx, patterns)
	delete(found, aboutKey)
	return found, err
}

// findWithAbout is find, with what is at aboutKey.
func (b *bucket) findWithAbout(ctx context.Context, patterns []string) (map[string]cell, error) {
	fresh, err := b.fresh(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]cell)
	for some := range slices.Chunk(patterns, mostKeys) {
		err := b.findSome(ctx, some, fresh, found)
		if errors.Is(err, errTooMany) {
			err = b.findMany(ctx, some, fresh, found)
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// errTooMany says that more keys were asked for than are answered at once.
var errTooMany = errors.New("too many keys for one answer")

// findMany has the leader say which keys there are, and asks for them one by one.
func (b *bucket) findMany(ctx context.Context, patterns []string, fresh uint64, found map[string]cell) error {
	var keys []string
	for _, pattern := range patterns {
		doing := "list keys " + pattern
		if err := b.insist(ctx, doing, func(ctx context.Context) (final, err error) {
			some, err := b.list(ctx, pattern, fresh)
			keys = append(keys, some...)
			return b.refused(ctx, doing, err), err
		}); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(keys, mostKeys) {
		if err := b.findSome(ctx, some, fresh, found); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucket) list(ctx context.Context, pattern string, fresh uint64) ([]string, error) {
	limited, cancel := context.WithTimeout(ctx, max(b.timeout, longest/2)) // it may be long
	defer cancel()
	stream, err := b.js.Stream(limited, b.stream)
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(limited, natsjs.WithSubjectFilter(b.root+pattern))
	if err != nil {
		return nil, err
	}
	if info.State.LastSeq < fresh {
		return nil, behind(info.State.LastSeq, fresh)
	}
	var keys []string
	for subject := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(subject, b.root))
	}
	return keys, nil
}

// findSome asks until one answer has come whole and goes as far as fresh.
func (b *bucket) findSome(ctx context.Context, patterns []string, fresh uint64, found map[string]cell) error {
	doing := "read keys " + patterns[0]
	return b.insist(ctx, doing, func(ctx context.Context) (final, err error) {
		cells, upTo, err := b.readLast(ctx, patterns)
		if errors.Is(err, errTooMany) {
			return err, err
		}
		if err != nil {
			return nil, err
		}
		if upTo < fresh {
			return nil, behind(upTo, fresh)
		}
		b.heard(upTo)
		maps.Copy(found, cells)
		return nil, nil
	})
}

// behind says that a server does not have what is known to be there.
func behind(at, fresh uint64) error {
	return fmt.Errorf("a server is behind: at %d instead of %d", at, fresh)
}

// readLast asks any replica for the last messages of keys. An answer counts only
// with its end, which says how far the replica is. What is written while a long
// answer comes in parts is behind the part that has come, and is in the next one if
// that is of a server that has it.
func (b *bucket) readLast(ctx context.Context, patterns []string) (cells map[string]cell, upTo uint64, err error) {
	question := lastQuestion{Subjects: make([]string, 0, len(patterns)+1)}
	for _, pattern := range append(patterns, aboutKey) {
		question.Subjects = append(question.Subjects, b.root+pattern)
	}
	cells = make(map[string]cell)
	for {
		end, err := b.readPage(ctx, question, cells)
		if err != nil {
			return nil, 0, err
		}
		if end.upTo < upTo {
			return nil, 0, behind(end.upTo, upTo)
		}
		if upTo = end.upTo; end.pending == 0 {
			return cells, upTo, nil
		}
		question.From = end.last + 1
	}
}

// lastQuestion asks for the last message of each subject.
type lastQuestion struct {
	Subjects []string `json:"multi_last"`
	From     uint64   `json:"seq,omitempty"`
}

// pageEnd is what the end of an answer says.
type pageEnd struct{ pending, last, upTo uint64 }

func (b *bucket) readPage(ctx context.Context, question lastQuestion, cells map[string]cell) (end pageEnd, err error) {
	data, err := json.Marshal(question)
	if err != nil {
		return end, err
	}
	conn := b.js.Conn()
	inbox, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return end, err
	}
	defer func() { _ = inbox.Unsubscribe() }() // it fails when the connection is closed, and then it is over
	if err := conn.PublishRequest(b.api+"DIRECT.GET."+b.stream, inbox.Subject, data); err != nil {
		return end, err
	}
	for {
		limited, cancel := context.WithTimeout(ctx, b.timeout) // of silence
		m, err := inbox.NextMsgWithContext(limited)
		cancel()
		if err != nil {
			return end, err
		}
		switch status := m.Header.Get(replyStatus); status {
		case "":
			key := strings.TrimPrefix(m.Header.Get(natsjs.SubjectHeader), b.root)
			cells[key] = cellOf(m.Header, m.Data, number(m.Header, natsjs.SequenceHeader))
		case "204":
			return pageEnd{pending: number(m.Header, headerPending), last: number(m.Header, natsjs.LastSequenceHeader), upTo: number(m.Header, headerUpTo)}, nil
		case "413":
			return end, errTooMany
		default: // 404, too: at least one key is always there
			return end, fmt.Errorf("answer %s: %s", status, m.Header.Get("Description"))
		}
	}
}

func number(h nats.Header, name string) uint64 {
	n, err := strconv.ParseUint(h.Get(name), 10, 64)
	if err != nil {
		return 0 // an answer without it goes nowhere
	}
	return n
}
