package auth

import (
	"strings"
	"unicode/utf8"
)

// written returns as much of s as can be written down: valid UTF-8 without
// control characters, at most limit bytes.
func written(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	for len(s) > limit || !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
