package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/jetstream"
)

func TestWhatEachAnswerToAnAppendMeans(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{
		`{"stream":"E","seq":7}`:                       "stored",
		`{"stream":"E","seq":7,"batch":"b","count":3}`: "stored",
		`{"stream":"E","seq":7,"duplicate":true}`:      "taken",
		`{"stream":"E","seq":0}`:                       "unknown",
		`{"stream":"E"`:                                "unknown",
		``:                                             "unknown",
		refused(400, 10071):                            "taken",
		refused(400, 10201):                            "taken",
		refused(400, 10164):                            "nothing",
		refused(409, 10158):                            "nothing",
		refused(400, 10176):                            "nothing",
		refused(429, 10210):                            "nothing",
		refused(400, 10054):                            "refused",
		refused(503, 10077):                            "refused",
		refused(400, 10097):                            "refused",
		refused(400, 10109):                            "refused",
		refused(400, 10199):                            "refused",
		refused(404, 10059):                            "refused",
		refused(503, 10008):                            "unknown",
		refused(500, 10999):                            "unknown",
	} {
		assert.Equal(t, want, jetstream.Meaning(&nats.Msg{Data: []byte(reply)}, nil), reply)
	}
	for err, want := range map[error]string{
		context.DeadlineExceeded: "unknown", context.Canceled: "unknown", nats.ErrTimeout: "unknown", nats.ErrDisconnected: "unknown",
		errors.New("connection reset"): "unknown", nats.ErrNoResponders: "nothing", nats.ErrConnectionClosed: "refused", nats.ErrMaxPayload: "refused",
	} {
		assert.Equal(t, want, jetstream.Meaning(nil, err), err)
	}
}

func refused(code, errorCode int) string {
	return fmt.Sprintf(`{"error":{"code":%d,"err_code":%d,"description":"no"},"stream":"E","seq":0}`, code, errorCode)
}

// direct is one message of a direct answer. The one before it has to be named.
func direct(seq, before uint64) *nats.Msg {
	m := nats.NewMsg("inbox")
	m.Header.Set("Nats-Subject", "s")
	m.Header.Set("Nats-Sequence", strconv.FormatUint(seq, 10))
	m.Header.Set("Nats-Last-Sequence", strconv.FormatUint(before, 10))
	return m
}

func status(code string, last uint64) *nats.Msg {
	m := nats.NewMsg("inbox")
	m.Header.Set("Status", code)
	m.Header.Set("Nats-Last-Sequence", strconv.FormatUint(last, 10))
	return m
}

func TestADirectAnswerCountsOnlyAsAWhole(t *testing.T) {
	t.Parallel()
	whole := []*nats.Msg{direct(3, 0), direct(5, 3), direct(9, 5), status("204", 9)}
	got, complete, _ := jetstream.PageOf(whole...)
	assert.True(t, complete)
	assert.Equal(t, []uint64{3, 5, 9}, got)
	got, complete, _ = jetstream.PageOf(status("404", 0))
	assert.True(t, complete)
	assert.Empty(t, got)
	_, complete, again := jetstream.PageOf(whole[:3]...)
	assert.False(t, complete || again, "without its end mark it goes on")
	for missing := range 3 {
		part := append(append([]*nats.Msg(nil), whole[:missing]...), whole[missing+1:]...)
		_, complete, again = jetstream.PageOf(part...)
		assert.True(t, !complete && again, "message %d was lost", missing)
	}
	for _, code := range []string{"503", "408", "413", "500"} {
		_, complete, again = jetstream.PageOf(whole[0], status(code, 3))
		assert.True(t, !complete && again, code)
	}
	_, complete, again = jetstream.PageOf(nats.NewMsg("inbox"))
	assert.True(t, !complete && again, "nothing that is known")
}
