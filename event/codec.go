package event

import (
	"bytes"
	"encoding/json"
)

// Codec turns payloads into bytes and back. A store keeps the bytes exactly as
// the codec wrote them. Implementations must be safe for concurrent use.
type Codec interface {
	// Encode returns the bytes of payload.
	Encode(payload any) ([]byte, error)
	// Decode fills into, a pointer to the payload's type. Fields that the
	// type does not have must be tolerated.
	Decode(data []byte, into any) error
}

// JSON is the default [Codec]: encoding/json without HTML escaping, so that
// text is stored as it was written. The zero value is ready.
type JSON struct{}

// Encode implements [Codec].
func (JSON) Encode(payload any) ([]byte, error) {
	var out encoded
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(payload); err != nil {
		return nil, err // callers wrap it in an EncodeError with the event's type.
	}
	return out.data, nil
}

// Decode implements [Codec].
func (JSON) Decode(data []byte, into any) error {
	return json.Unmarshal(data, into) // callers wrap it in a DecodeError with the event's id.
}

// encoded takes the one line that a [json.Encoder] writes for a value.
type encoded struct{ data []byte }

// Write implements [io.Writer].
func (e *encoded) Write(line []byte) (int, error) {
	e.data = append(e.data, bytes.TrimSuffix(line, []byte("\n"))...)
	return len(line), nil
}
