package jetstream

import (
	"encoding/hex"
	"strings"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// MaxSubjectBytes bounds a subject. Servers close the connection of whoever
// sends a line over 4 kB, so that it is checked first.
const MaxSubjectBytes = 1024

// NoTenant stands for the absent tenant in a subject. No tenant's token is
// equal to it.
const NoTenant = "~"

// Token returns a name as one part of a subject. Letters and digits of ASCII,
// "-" and "_" stay; every other byte becomes "%" and two capital hex digits;
// the empty name becomes [NoTenant]. Different names have different tokens, a
// token never has a dot, a blank or a wildcard, and [ParseToken] gives the name
// back.
func Token(name string) string {
	if name == "" {
		return NoTenant
	}
	if allPlain(name) {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; isPlain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&0xf])
		}
	}
	return b.String()
}

const hexDigits = "0123456789ABCDEF"

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func allPlain(name string) bool {
	for i := range len(name) {
		if !isPlain(name[i]) {
			return false
		}
	}
	return true
}

// ParseToken is the reverse of [Token]. What Token does not return is an
// [*event.InvalidError] for "token".
func ParseToken(token string) (string, error) {
	if token == NoTenant {
		return "", nil
	}
	if token != "" && allPlain(token) {
		return token, nil
	}
	var name []byte
	for rest := token; rest != ""; {
		c, after := rest[0], rest[1:]
		if c == '%' && len(after) >= 2 {
			decoded, err := hex.DecodeString(after[:2])
			if err != nil {
				break
			}
			c, after = decoded[0], after[2:]
		}
		name, rest = append(name, c), after
	}
	if len(name) == 0 || Token(string(name)) != token {
		return "", &event.InvalidError{Field: "token", Value: shown(token), Reason: "is not a part of a subject as jetstream.Token writes it"}
	}
	return string(name), nil
}

// Subject joins a prefix, which is taken as it is, and names, each of which
// becomes one token.
func Subject(prefix string, names ...string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for _, name := range names {
		b.WriteByte('.')
		b.WriteString(Token(name))
	}
	return b.String()
}

// Operation is the last part of a record's subject: the action without its
// first part, which by custom repeats the entity's type, and with "-" for
// dots. "document.created" is "created", "document.access.granted" is
// "access-granted", "create_task" stays.
func Operation(action string) string {
	if _, rest, found := strings.Cut(action, "."); found {
		action = rest
	}
	return strings.ReplaceAll(action, ".", "-")
}

// ActivitySubject is where a record is published:
// <prefix>.<tenant>.activity.recorded.<entity type>.<operation>, always as many
// parts as the prefix has and five more.
func ActivitySubject(prefix string, r audit.ActivityRecord) string {
	return Subject(prefix, string(r.TenantID()), "activity", "recorded", r.Entity().Type, Operation(r.Action()))
}

// validatePrefix refuses a prefix that is no subject, or that is the server's.
func validatePrefix(prefix string) error {
	const most = 64
	if len(prefix) > most {
		return &event.TooLargeError{Field: "prefix", Size: len(prefix), Limit: most, Unit: "bytes"}
	}
	for part := range strings.SplitSeq(prefix, ".") {
		if part == "" || Token(part) != part {
			return &event.InvalidError{Field: "prefix", Value: shown(prefix), Reason: `must be parts of letters, digits, "-" and "_" with dots between, for example "audit.v1"`}
		}
	}
	return nil
}

// validateSubject refuses a subject that a server would refuse or misread.
func validateSubject(prefix, subject string) error {
	if len(subject) > MaxSubjectBytes {
		return &event.TooLargeError{Field: "subject", Size: len(subject), Limit: MaxSubjectBytes, Unit: "bytes"}
	}
	below, ok := strings.CutPrefix(subject, prefix+".")
	if !ok {
		return &event.InvalidError{Field: "subject", Value: shown(subject), Reason: "must begin with " + prefix + "., which is what the stream takes"}
	}
	for part := range strings.SplitSeq(below, ".") {
		if _, err := ParseToken(part); err != nil {
			return &event.InvalidError{Field: "subject", Value: shown(subject), Reason: "has a part that jetstream.Token did not write; use jetstream.Subject"}
		}
	}
	return nil
}

// shown is a value as an error shows it: short, and without control characters.
func shown(s string) string {
	const most = 64
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
