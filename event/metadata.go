package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Metadata is context that does not belong to the payload: request id, trace,
// channel. Values have JSON types: nil, bool, string, numbers, []any and
// map[string]any, nested at will.
//
// Types survive storage: integers come back as int64 (uint64 above
// [math.MaxInt64]), floating-point numbers as float64 even when they are
// whole, everything else as it was. Metadata of an event that was read must
// be treated as read-only.
type Metadata map[string]any

// KeyOwner is the metadata key under which an event says whose data it is about.
const KeyOwner = "owner_id"

// maxMetadataDepth bounds how deep lists and objects are nested. A map that
// holds itself has no end.
const maxMetadataDepth = 100

// EncodeMetadata returns the JSON object that stores keep, with keys sorted,
// or nil for metadata that is empty. A value that JSON cannot carry is an
// [*InvalidError] that names its key.
func EncodeMetadata(m Metadata) ([]byte, error) {
	if len(m) == 0 {
		return nil, nil
	}
	normal, err := normalize("metadata", map[string]any(m), maxMetadataDepth)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(normal); err != nil {
		return nil, &InvalidError{Field: "metadata", Reason: err.Error()}
	}
	data := bytes.TrimRight(buf.Bytes(), "\n")
	if len(data) > MaxMetadataBytes {
		return nil, &TooLargeError{Field: "metadata", Size: len(data), Limit: MaxMetadataBytes, Unit: "bytes"}
	}
	return data, nil
}

// DecodeMetadata is the reverse of [EncodeMetadata]. Empty data is nil metadata.
func DecodeMetadata(data []byte) (Metadata, error) {
	if len(data) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("decode metadata: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode metadata: data after the object")
	}
	for key, value := range m {
		m[key] = restore(value)
	}
	return Metadata(m), nil
}

// float is a float64 that never looks like an integer in JSON.
type float float64

// MarshalJSON implements [json.Marshaler].
func (f float) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(f), 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return []byte(s), nil
}

// normalize turns a value into one that encodes with its type, or says which
// key holds a value that cannot be kept.
func normalize(field string, value any, depth int) (any, error) {
	switch v := value.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return v, nil
	case string:
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return nil, &InvalidError{Field: field, Reason: "is not valid UTF-8 without NUL"}
		}
		return v, nil
	case float32:
		return normalize(field, float64(v), depth)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &InvalidError{Field: field, Reason: "is not a finite number"}
		}
		return float(v), nil
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return normalizeList(field, list, depth)
	case []any:
		return normalizeList(field, v, depth)
	case Metadata:
		return normalizeMap(field, v, depth)
	case map[string]any:
		return normalizeMap(field, v, depth)
	default:
		return nil, &InvalidError{Field: field, Reason: fmt.Sprintf("has type %T; use bool, string, numbers, []any, []string or map[string]any", value)}
	}
}

func tooDeep() error {
	return &TooLargeError{Field: "metadata", Size: maxMetadataDepth + 1, Limit: maxMetadataDepth, Unit: "levels"}
}

func normalizeList(field string, list []any, depth int) (any, error) {
	if depth == 0 {
		return nil, tooDeep()
	}
	out := make([]any, len(list))
	for i, item := range list {
		normal, err := normalize(fmt.Sprintf("%s[%d]", field, i), item, depth-1)
		if err != nil {
			return nil, err
		}
		out[i] = normal
	}
	return out, nil
}

func normalizeMap(field string, object map[string]any, depth int) (any, error) {
	if depth == 0 {
		return nil, tooDeep()
	}
	out := make(map[string]any, len(object))
	for key, item := range object {
		if err := validateText(field+" key", key, MaxNameBytes); err != nil {
			return nil, err
		}
		normal, err := normalize(field+"."+key, item, depth-1)
		if err != nil {
			return nil, err
		}
		out[key] = normal
	}
	return out, nil
}

// restore turns json.Number back into the number's own type.
func restore(value any) any {
	switch v := value.(type) {
	case json.Number:
		return restoreNumber(v)
	case []any:
		for i, item := range v {
			v[i] = restore(item)
		}
	case map[string]any:
		for key, item := range v {
			v[key] = restore(item)
		}
	}
	return value
}

func restoreNumber(n json.Number) any {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return u
	}
	f, err := n.Float64()
	if err != nil {
		return string(n) // beyond float64: keep every digit rather than invent one
	}
	return f
}
