package audit

import "strings"

// ParseTraceparent reads a traceparent of W3C Trace Context and reports whether
// it is well-formed: version, trace id, parent id and flags in small hexadecimal
// digits, no id all zero, at most [MaxRequestBytes]. It returns version 00 of
// it: of versions to come, which may say more, the part that all have.
func ParseTraceparent(s string) (traceparent string, ok bool) {
	const length = len("00-") + 32 + len("-") + 16 + len("-00")
	if len(s) < length || len(s) > MaxRequestBytes {
		return "", false
	}
	head, more := s[:length], s[length:]
	version, trace, parent, flags := head[:2], head[3:35], head[36:52], head[53:]
	switch {
	case head[2] != '-' || head[35] != '-' || head[52] != '-' || strings.Trim(version+trace+parent+flags, "0123456789abcdef") != "":
		return "", false
	case version == "ff" || strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "":
		return "", false
	case more != "" && (version == "00" || more[0] != '-' || strings.IndexFunc(more, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0):
		return "", false
	default:
		return "00" + head[2:], true
	}
}
