package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/golden"
)

func TestOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	run(&out)
	golden.Compare(t, out.Bytes(), "testdata/output.txt")

	named := regexp.MustCompile(`bank/\S+`).FindAllString(out.String(), -1)
	assert.Len(t, named, 4)
	for _, file := range named {
		_, err := os.Stat(file)
		require.NoError(t, err)
	}
}
