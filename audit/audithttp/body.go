package audithttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is deeper than any body that is taken.
const maxDepth = 8

// body reads the request's body, which must be one JSON object: UTF-8, no key
// twice, nothing behind it.
func (x *exchange) body() (map[string]any, error) {
	if err := x.checkMedia(); err != nil {
		return nil, err
	}
	data, err := x.readBody()
	if err != nil {
		return nil, err
	}
	value, err := parseBody(data)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, refuse(codeInvalidBody, "the body must be a JSON object")
	}
	return object, nil
}

// readBody reads as much as a body may have, in the time that a request has:
// the context's deadline alone does not end a read.
func (x *exchange) readBody() ([]byte, error) {
	control := http.NewResponseController(x.w)
	if end, limited := x.r.Context().Deadline(); limited {
		// A connection without deadlines is one of a test, or of a middleware that has its own.
		_ = control.SetReadDeadline(end)
	}
	data, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, x.h.config.MaxBodyBytes))
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		return nil, refuse(codeTooLarge, "the body may have %d bytes", x.h.config.MaxBodyBytes)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &problem{code: codeTimeout, detail: "the body did not arrive in time", cause: err}
	case err != nil:
		return nil, refuse(codeInvalidBody, "the body could not be read to its end")
	}
	_ = control.SetReadDeadline(time.Time{})
	return data, nil
}

func (x *exchange) checkMedia() error {
	kind, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	charset, given := params["charset"]
	if err != nil || kind != typeJSON || given && !strings.EqualFold(charset, "utf-8") || len(x.r.Header.Values("Content-Type")) > 1 {
		return refuse(codeUnsupportedMedia, "the body must be application/json in UTF-8")
	}
	if encoding := x.r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return refuse(codeUnsupportedMedia, "the body must not be compressed")
	}
	return nil
}

func parseBody(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, refuse(codeInvalidBody, "the body is not valid UTF-8")
	}
	p := parser{decoder: json.NewDecoder(bytes.NewReader(data))}
	p.decoder.UseNumber()
	value, err := p.value("", maxDepth)
	if err != nil {
		return nil, bodyError(err, p.decoder.InputOffset())
	}
	if _, err := p.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(codeInvalidBody, "there is something behind the JSON object, at byte %d", p.decoder.InputOffset())
	}
	if halfPair(data) {
		return nil, refuse(codeInvalidBody, "the body has half of a surrogate pair, which is no character")
	}
	return value, nil
}

func bodyError(err error, offset int64) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(codeInvalidBody, "the JSON ends too early, after %d bytes", offset)
	}
	return refuse(codeInvalidBody, "not JSON after %d bytes: %s", offset, clean(err.Error(), 200))
}

// parser reads JSON more strictly than encoding/json: no key twice, and not
// deeper than any body is.
type parser struct{ decoder *json.Decoder }

func (p *parser) value(pointer string, depth int) (any, error) {
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if depth == 0 {
			return nil, faulty([]fault{{Pointer: pointer, Code: codeInvalidBody, Detail: "the body is nested too deep"}})
		}
		if token == '[' {
			return p.list(pointer, depth-1)
		}
		return p.object(pointer, depth-1)
	default:
		return token, nil
	}
}

func (p *parser) list(pointer string, depth int) (any, error) {
	items := []any{}
	for p.decoder.More() {
		item, err := p.value(fmt.Sprintf("%s/%d", pointer, len(items)), depth)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := p.decoder.Token()
	return items, err
}

func (p *parser) object(pointer string, depth int) (any, error) {
	fields := make(map[string]any)
	for p.decoder.More() {
		token, err := p.decoder.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, refuse(codeInvalidBody, "a key is not text")
		}
		at := pointer + "/" + escapePointer(key)
		if _, twice := fields[key]; twice {
			return nil, faulty([]fault{{Pointer: at, Code: codeInvalidField, Detail: "the field is given twice"}})
		}
		if fields[key], err = p.value(at, depth); err != nil {
			return nil, err
		}
	}
	_, err := p.decoder.Token()
	return fields, err
}

// halfPair reports whether a text of valid JSON has an escape that is half of a
// surrogate pair. encoding/json would put U+FFFD in its place.
func halfPair(data []byte) bool {
	for i := bytes.IndexByte(data, '\\'); i >= 0 && i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if i++; data[i] != 'u' {
			continue
		}
		unit := codeUnit(data[i+1:])
		i += 4
		if !utf16.IsSurrogate(unit) {
			continue
		}
		if rest := data[i+1:]; !bytes.HasPrefix(rest, []byte(`\u`)) || utf16.DecodeRune(unit, codeUnit(rest[2:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// codeUnit is the value of four hexadecimal digits.
func codeUnit(digits []byte) rune {
	unit, err := strconv.ParseUint(string(digits[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError // cannot be: it is valid JSON.
	}
	return rune(unit)
}

// escapePointer writes a key as RFC 6901 has it.
func escapePointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(clean(key, 200))
}
