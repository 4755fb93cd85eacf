package golden_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/golden"
)

// recorder is a T that keeps what it is told.
type recorder struct{ said string }

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) }

func TestCompare(t *testing.T) {
	t.Setenv(golden.UpdateVariable, "")
	file := filepath.Join(t.TempDir(), "output.txt")
	require.NoError(t, os.WriteFile(file, []byte("one\r\ntwo\n"), 0o600))

	var same, other, missing recorder
	golden.Compare(&same, []byte("one\ntwo\n"), file)
	golden.Compare(&other, []byte("one\nthree\n"), file)
	golden.Compare(&missing, []byte("one\n"), file+".gone")

	assert.Empty(t, same.said)
	assert.Contains(t, other.said, "output.txt (-want +got)")
	assert.Contains(t, other.said, `"three"`)
	assert.Contains(t, missing.said, "does not exist; run the test with EVIDENT_UPDATE_GOLDEN=1")
}

func TestCompareWritesTheFileWhenAskedTo(t *testing.T) {
	t.Setenv(golden.UpdateVariable, "1")
	file := filepath.Join(t.TempDir(), "testdata", "output.txt")
	golden.Compare(t, []byte("one\n"), file)

	t.Setenv(golden.UpdateVariable, "")
	golden.Compare(t, []byte("one\n"), file)
	var other recorder
	golden.Compare(&other, []byte("two\n"), file)
	assert.NotEmpty(t, other.said)
}
