package audit

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// MarshalJSON implements [json.Marshaler]. Names are in snake_case, positions
// and versions are text, since many readers of JSON hold 53 bits at the most,
// and what is absent is left out. There is no way back: a record is not made
// from JSON.
func (r ActivityRecord) MarshalJSON() ([]byte, error) {
	const usual = 1024
	return r.AppendJSON(make([]byte, 0, usual))
}

// AppendJSON appends what [ActivityRecord.MarshalJSON] returns to dst and
// returns the extended slice: for those who write very many records, for which
// encoding/json takes several times as long. On an error, which names the field,
// what it returns is dst.
func (r ActivityRecord) AppendJSON(dst []byte) ([]byte, error) {
	d, o := &r.d, object{buf: dst}
	o.begin()
	o.id("id", d.ID)
	o.optional("tenant_id", string(d.TenantID))
	o.time("occurred_at", d.OccurredAt)
	if !d.RecordedAt.IsZero() {
		o.time("recorded_at", d.RecordedAt)
	}
	o.optionalNumber("position", d.Position)
	o.text("actor_id", string(d.ActorID))
	o.optional("on_behalf_of", string(d.OnBehalfOf))
	o.optional("owner_id", d.OwnerID)
	o.text("action", d.Action)
	o.entity(d.Entity)
	o.text("outcome", string(d.Outcome))
	o.optional("reason", d.Reason)
	o.optional("purpose", d.Purpose)
	o.optional("description", d.Description)
	o.request(d.Request)
	o.optionalID("correlation_id", d.CorrelationID)
	o.optionalID("causation_id", d.CausationID)
	o.metadata(d.Metadata)
	o.origin(d.Origin)
	o.list("reduced", d.Reduced)
	o.end()
	if o.err != nil {
		return dst, o.err
	}
	return o.buf, nil
}

// object is JSON that is being written, up to the first error.
type object struct {
	buf []byte
	err error
}

func (o *object) begin() { o.buf = append(o.buf, '{') }

func (o *object) end() { o.buf = append(o.buf, '}') }

// name begins a member.
func (o *object) name(name string) {
	if o.buf[len(o.buf)-1] != '{' {
		o.buf = append(o.buf, ',')
	}
	o.buf = appendText(o.buf, name)
	o.buf = append(o.buf, ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.buf = appendText(o.buf, value)
}

func (o *object) optional(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

func (o *object) id(name string, id uuid.UUID) {
	o.name(name)
	const form = `"00000000-0000-0000-0000-000000000000"`
	o.buf = append(o.buf, form...)
	text := o.buf[len(o.buf)-len(form)+1:]
	hex.Encode(text, id[:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
}

func (o *object) optionalID(name string, id uuid.UUID) {
	if id != uuid.Nil {
		o.id(name, id)
	}
}

// number writes a number as text.
func (o *object) number(name string, n uint64) {
	o.name(name)
	o.buf = append(o.buf, '"')
	o.buf = strconv.AppendUint(o.buf, n, 10)
	o.buf = append(o.buf, '"')
}

func (o *object) optionalNumber(name string, n uint64) {
	if n != 0 {
		o.number(name, n)
	}
}

func (o *object) time(name string, t time.Time) {
	o.name(name)
	o.buf = append(o.buf, '"')
	text, err := t.AppendText(o.buf)
	if err != nil {
		o.fail(name, err)
		return
	}
	o.buf = text
	o.buf = append(o.buf, '"')
}

func (o *object) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	for i, value := range values {
		o.buf = append(o.buf, "[,"[min(i, 1)])
		o.buf = appendText(o.buf, value)
	}
	o.buf = append(o.buf, ']')
}

func (o *object) entity(e EntityRef) {
	o.name("entity")
	o.begin()
	o.text("type", e.Type)
	o.text("id", e.ID)
	o.optionalNumber("version", e.Version)
	o.end()
}

func (o *object) request(r Request) {
	if r == (Request{}) {
		return
	}
	o.name("request")
	o.begin()
	o.optional("id", r.ID)
	o.optional("traceparent", r.Traceparent)
	o.optional("source_address", r.SourceAddress)
	o.optional("user_agent", r.UserAgent)
	o.end()
}

func (o *object) origin(origin Origin) {
	if origin.IsZero() {
		return
	}
	o.name("origin")
	o.begin()
	o.id("event_id", origin.EventID)
	o.text("event_type", origin.EventType)
	o.text("aggregate_type", origin.Stream.AggregateType)
	o.id("aggregate_id", origin.Stream.AggregateID)
	o.number("version", origin.Version)
	o.number("position", origin.Position)
	o.end()
}

// metadata writes the keys in the order of their bytes.
func (o *object) metadata(m event.Metadata) {
	if len(m) == 0 {
		return
	}
	o.name("metadata")
	o.begin()
	const usual = 16
	keys := slices.AppendSeq(make([]string, 0, usual), maps.Keys(m))
	slices.Sort(keys)
	for _, key := range keys {
		o.name(key)
		o.value(key, m[key])
	}
	o.end()
}

func (o *object) value(key string, value any) {
	switch v := value.(type) {
	case string:
		o.buf = appendText(o.buf, v)
	case int64:
		o.buf = strconv.AppendInt(o.buf, v, 10)
	case bool:
		o.buf = strconv.AppendBool(o.buf, v)
	default: // few records have others
		data, err := json.Marshal(v)
		if err != nil {
			o.fail("metadata."+key, err)
		}
		o.buf = append(o.buf, data...)
	}
}

func (o *object) fail(field string, err error) {
	if o.err == nil {
		o.err = fmt.Errorf("encode %s: %w", field, err)
	}
}

// appendText appends a JSON text as encoding/json writes it: what browsers take
// for markup is escaped, and what is not UTF-8 replaced.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	written := 0
	for i := 0; i < len(s); {
		if isPlain(s[i]) {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if size > 1 && r != '\u2028' && r != '\u2029' {
			i += size
			continue
		}
		dst = append(dst, s[written:i]...)
		dst = appendEscaped(dst, r)
		i += size
		written = i
	}
	dst = append(dst, s[written:]...)
	return append(dst, '"')
}

func isPlain(c byte) bool {
	return c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

func appendEscaped(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		return fmt.Appendf(dst, `\u%04x`, r)
	}
}
