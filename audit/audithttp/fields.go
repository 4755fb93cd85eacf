package audithttp

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/event"
)

// fields are those of one JSON object. Whoever takes them names all that there
// may be; what is wrong is collected with the place where it is.
type fields struct {
	at     string // a JSON pointer
	values map[string]any
	faults *[]fault
}

func (f fields) faultf(name string, c code, format string, args ...any) {
	*f.faults = append(*f.faults, fault{Pointer: f.at + "/" + escapePointer(name), Code: c, Detail: fmt.Sprintf(format, args...)})
}

// take removes a field and returns its value.
func (f fields) take(name string) (value any, given bool) {
	value, given = f.values[name]
	delete(f.values, name)
	return value, given
}

// rest refuses the fields that nobody took.
func (f fields) rest() {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		switch name {
		case "id", "tenant_id", "actor_id", "recorded_at", "position", "origin", "reduced", "request":
			f.faultf(name, codeFieldNotAllowed, "%s is said by the server: actor and tenant by the principal, the rest by the log", name)
		default:
			f.faultf(name, codeUnknownField, "there is no field %q here", clean(name, 100))
		}
	}
}

func (f fields) text(name string) string {
	value, given := f.take(name)
	text, ok := value.(string)
	if given && !ok {
		f.faultf(name, codeInvalidField, "%s must be text", name)
	}
	return text
}

// required is text that must be there.
func (f fields) required(name string) string {
	if _, given := f.values[name]; !given {
		f.faultf(name, codeInvalidField, "%s must be given", name)
	}
	return f.text(name)
}

func (f fields) id(name string) uuid.UUID {
	value, given := f.take(name)
	if !given {
		return uuid.Nil
	}
	text, _ := value.(string)
	id, ok := parseID(text)
	if !ok {
		f.faultf(name, codeInvalidField, "%s must be a UUID in the usual form, and not all zeros", name)
	}
	return id
}

func (f fields) time(name string) time.Time {
	value, given := f.take(name)
	if !given {
		return time.Time{}
	}
	text, _ := value.(string)
	t, ok := parseTime(text)
	if !ok {
		f.faultf(name, codeInvalidField, `%s must be a time such as "2024-01-15T10:30:00Z", in the years 1 to 9999`, name)
	}
	return t
}

// number is one of 64 bits, which is written as text.
func (f fields) number(name string) uint64 {
	value, given := f.take(name)
	if !given {
		return 0
	}
	text, _ := value.(string)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		f.faultf(name, codeInvalidField, "%s must be a number from 0 to 18446744073709551615, written as text", name)
	}
	return n
}

// object is a field that has fields itself.
func (f fields) object(name string) (inner fields, given bool) {
	value, given := f.take(name)
	object, ok := value.(map[string]any)
	if given && !ok {
		f.faultf(name, codeInvalidField, "%s must be an object", name)
	}
	return fields{at: f.at + "/" + name, values: object, faults: f.faults}, given && ok
}

// metadata is what a client may say besides: not what the server says in the
// same place, such as the token that was used.
func (f fields) metadata(name string, reserved func(key string) bool) event.Metadata {
	inner, given := f.object(name)
	if !given {
		return nil
	}
	m := make(event.Metadata, len(inner.values))
	for _, key := range slices.Sorted(maps.Keys(inner.values)) {
		value, ok := scalar(inner.values[key])
		switch {
		case reserved(key):
			inner.faultf(key, codeFieldNotAllowed, "the server says it: it is of the principal, or of the request")
		case !ok:
			inner.faultf(key, codeInvalidField, "a value must be text, a number that fits 64 bits, true, false or null")
		}
		m[key] = value
	}
	return m
}

// scalar is what a record keeps of a value of JSON.
func scalar(value any) (any, bool) {
	switch v := value.(type) {
	case nil, bool, string:
		return v, true
	case json.Number:
		return number(string(v))
	default:
		return nil, false
	}
}

func number(text string) (any, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if whole := slices.IndexFunc([]byte(text), func(c byte) bool { return c == '.' || c == 'e' || c == 'E' }) < 0; whole {
		return nil, false // it would lose digits.
	}
	return f, err == nil
}
