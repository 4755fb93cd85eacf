package audit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/audit"
)

func TestParseTraceparent(t *testing.T) {
	t.Parallel()
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, s := range []string{good, "cc" + good[2:], "cc" + good[2:] + "-what-the-future-will-be-like"} {
		parsed, ok := audit.ParseTraceparent(s)
		assert.True(t, ok, s)
		assert.Equal(t, good, parsed)
	}
	for _, s := range []string{
		"", "00-1", good[1:], good + "-x", strings.ToUpper(good), "ff" + good[2:], "cc" + good[2:] + ".x", "cc" + good[2:] + "-a b",
		"cc" + good[2:] + "-é", "cc" + good[2:] + "-" + strings.Repeat("x", audit.MaxRequestBytes), strings.Replace(good, "-", "_", 1),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
	} {
		parsed, ok := audit.ParseTraceparent(s)
		assert.False(t, ok, s)
		assert.Empty(t, parsed)
	}
}
