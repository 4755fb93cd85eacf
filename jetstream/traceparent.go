package jetstream

import "strings"

// isTraceparent reports whether s is a well-formed traceparent of W3C trace
// context: version, trace id, parent id and flags in small hex digits, no id
// all zero. Later versions may have more after the flags.
func isTraceparent(s string) bool {
	const (
		v0      = 55 // the length of version 00
		noTrace = "00000000000000000000000000000000"
		noSpan  = "0000000000000000"
	)
	if len(s) < v0 || len(s) > 512 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, trace, span, flags, more := s[:2], s[3:35], s[36:52], s[53:v0], s[v0:]
	if !isHex(version) || !isHex(trace) || !isHex(span) || !isHex(flags) {
		return false
	}
	return version != "ff" && trace != noTrace && span != noSpan &&
		(more == "" || version != "00" && more[0] == '-' && isVisible(more))
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// isVisible reports whether s is printable ASCII without blanks.
func isVisible(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
