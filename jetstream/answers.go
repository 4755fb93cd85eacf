package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Answers of the server to what is published, that the client has no name for.
const (
	codeResources       natsjs.ErrorCode = 10002 // of the account
	codeServerResources natsjs.ErrorCode = 10023
	codeStorage         natsjs.ErrorCode = 10047
	codeStoreFailed     natsjs.ErrorCode = 10077 // with a limit on the stream: it is full
	codeSealed          natsjs.ErrorCode = 10109
	codeRollup          natsjs.ErrorCode = 10111
	codeDuplicateInHand natsjs.ErrorCode = 10158
	codeBatchDisabled   natsjs.ErrorCode = 10174
	codeBatchIncomplete natsjs.ErrorCode = 10176
	codeBatchTooLarge   natsjs.ErrorCode = 10199
	codeBatchDuplicate  natsjs.ErrorCode = 10201
	codeBatchesInHand   natsjs.ErrorCode = 10210
	codeWrongSequence                    = natsjs.JSErrCodeStreamWrongLastSequence
	codeSequenceInHand                   = natsjs.JSErrCodeStreamWrongLastSequenceConstant
	codeMessageTooLarge                  = natsjs.JSErrCodeStreamMessageExceedsMaximum
)

// answer is what one attempt to store something has come to.
type answer uint8

const (
	// answerStored: all of it is stored.
	answerStored answer = iota
	// answerUnknown: it may be stored, or may still be. The identical attempt is
	// made again.
	answerUnknown
	// answerNothing: this attempt stored nothing and never will. It is made again.
	// Replicas give such answers too where there is no conflict at all.
	answerNothing
	// answerTaken: a version or an id is there already, by an attempt before or by
	// somebody else. The leader tells which.
	answerTaken
	// answerRefused: trying again cannot help.
	answerRefused
)

// acknowledgement is what the server says to what is published.
type acknowledgement struct {
	Stream    string           `json:"stream"`
	Seq       uint64           `json:"seq"`
	Duplicate bool             `json:"duplicate"`
	Count     int              `json:"count"`
	Error     *natsjs.APIError `json:"error"`
}

// errIDKnown is the answer that an id is stored already.
var errIDKnown = errors.New("the event's id is known")

// answerOf says what a reply means, or the lack of one. The error is the server's
// or the client's; it is nil if all is stored.
func answerOf(reply *nats.Msg, err error) (acknowledgement, answer, error) {
	var ack acknowledgement
	if err != nil {
		return ack, silence(err), err
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return ack, answerUnknown, err
	}
	if ack.Error != nil {
		return ack, refusal(ack.Error), ack.Error
	}
	switch {
	case ack.Duplicate:
		return ack, answerTaken, errIDKnown
	case ack.Seq == 0:
		return ack, answerUnknown, errors.New("an acknowledgement without a sequence")
	default:
		return ack, answerStored, nil
	}
}

// silence is what it means that there is no answer.
func silence(err error) answer {
	switch {
	case errors.Is(err, nats.ErrNoResponders): // nobody leads the stream, so nobody has heard it
		return answerNothing
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrHeadersNotSupported), errors.Is(err, nats.ErrBadSubject):
		return answerRefused
	default:
		return answerUnknown
	}
}

func refusal(err *natsjs.APIError) answer {
	switch err.ErrorCode {
	case codeWrongSequence, codeBatchDuplicate:
		return answerTaken
	case codeSequenceInHand, codeDuplicateInHand, codeBatchIncomplete, codeBatchesInHand:
		return answerNothing
	case codeStoreFailed, codeResources, codeServerResources, codeStorage:
		return answerRefused
	default:
		if err.Code >= 500 {
			return answerUnknown
		}
		return answerRefused
	}
}

// permanent gives a refusal its type.
func permanent(stream string, err error) error {
	switch codeOf(err) {
	case codeStoreFailed, codeResources, codeServerResources, codeStorage:
		return fmt.Errorf("append to stream %s: %w: %w", stream, eventstore.ErrFull, err)
	case codeSealed:
		return fmt.Errorf("append to stream %s: %w: %w", stream, eventstore.ErrReadOnly, err)
	case codeMessageTooLarge, codeHeaderTooLarge, codeBatchTooLarge:
		return fmt.Errorf("append to stream %s: %w: %w", stream, event.ErrTooLarge, err)
	case codeBatchDisabled:
		return errors.Join(&StreamError{Stream: stream, Setting: "allow_atomic", Have: "false", Want: "true", Reason: "an append of several events cannot be stored"}, err)
	case 0:
	default:
		return streamGone(stream, err)
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("append to stream %s: %w: the server takes less than when the store was opened: %w", stream, event.ErrTooLarge, err)
	}
	return unavailable("append to stream "+stream, err)
}
