package audithttp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// cursor is a place in a list.
type cursor struct {
	position uint64 // of the last item that was shown
	asOf     uint64 // the end of the log that the list knows
}

// finished reports whether everything that is pinned was shown: asked with
// such a cursor, a list looks for what is new.
func (c cursor) finished() bool { return c.position == c.asOf }

// A cursor is written as a version, both positions, and a digest of what it
// holds for (principal, path, conditions, order), all of it signed. Its 66
// bytes fill their base64 without a bit to spare.
const (
	cursorVersion = 1
	digestBytes   = 17
	payloadBytes  = 1 + 8 + 8 + digestBytes
	cursorBytes   = payloadBytes + sha256.Size
)

func (x *exchange) sign(c cursor, w want) string {
	payload := make([]byte, 0, cursorBytes)
	payload = append(payload, cursorVersion)
	payload = binary.BigEndian.AppendUint64(payload, c.position)
	payload = binary.BigEndian.AppendUint64(payload, c.asOf)
	payload = append(payload, x.digest(w)...)
	return base64.RawURLEncoding.EncodeToString(append(payload, signature(x.h.config.CursorKeys[0], payload)...))
}

// verify returns what a cursor says, if this server signed it for the same list.
func (x *exchange) verify(text string, w want) (cursor, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != cursorBytes || !x.signed(data[:payloadBytes], data[payloadBytes:]) || data[0] != cursorVersion {
		return cursor{}, faulty([]fault{{Parameter: "cursor", Code: codeInvalidCursor, Detail: "the cursor was not made by this server, or was altered"}})
	}
	if !hmac.Equal(data[17:payloadBytes], x.digest(w)) {
		return cursor{}, faulty([]fault{{Parameter: "cursor", Code: codeCursorMismatch, Detail: "principal, path, conditions and order must be those of the first page"}})
	}
	return cursor{position: binary.BigEndian.Uint64(data[1:]), asOf: binary.BigEndian.Uint64(data[9:])}, nil
}

func (x *exchange) signed(payload, mac []byte) bool {
	for _, key := range x.h.config.CursorKeys {
		if hmac.Equal(mac, signature(key, payload)) {
			return true
		}
	}
	return false
}

func signature(key, payload []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("evident audit cursor\x00"))
	mac.Write(payload)
	return mac.Sum(nil)
}

// digest stands for whom and what a cursor is for.
func (x *exchange) digest(w want) []byte {
	sum := sha256.New()
	for _, part := range []string{string(x.who.TenantID), string(x.who.ActorID), string(x.who.OnBehalfOf), x.route.pattern, w.canonical()} {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		sum.Write([]byte(part))
	}
	return sum.Sum(nil)[:digestBytes]
}
