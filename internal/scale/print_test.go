package scale_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/evident-go/evident/internal/scale"
)

func TestUnits(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0":         scale.Count(0),
		"12.3":      scale.Count(12.34),
		"1,230":     scale.Count(1234),
		"1,000,000": scale.Count(999_999),
		"0.0001 %":  scale.Percent(1e-6),
		"99 %":      scale.Percent(0.991),
		"1,077 B":   scale.Bytes(1077),
		"412 GB":    scale.Bytes(412e9),
		"1 TB":      scale.Bytes(999.9e9),
		"4,290 PB":  scale.Bytes(4.29e18),
		"0.36 ms":   scale.Seconds(0.000361),
		"0.15 s":    scale.Seconds(0.15),
		"5 s":       scale.Seconds(4.999),
		"89 s":      scale.Seconds(89),
		"1.5 min":   scale.Seconds(91),
		"17 min":    scale.Seconds(1000),
		"28 h":      scale.Seconds(1e5),
		"12 days":   scale.Seconds(1e6),
		"32 years":  scale.Seconds(1e9),
	} {
		assert.Equal(t, want, got)
	}
}
