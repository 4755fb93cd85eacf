package pgtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/pgtest"
)

func TestAStandbyFollowsItsPrimary(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t, pgtest.Unsafe())
	write := connect(t, primary.URL())
	_, err := write.Exec(t.Context(), "CREATE TABLE seen (n int)")
	require.NoError(t, err)

	standby := pgtest.Standby(t, primary)
	read := connect(t, standby.URL())
	_, err = write.Exec(t.Context(), "INSERT INTO seen VALUES (1)")
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		var rows int
		return read.QueryRow(t.Context(), "SELECT count(*) FROM seen").Scan(&rows) == nil && rows == 1
	}, 30*time.Second, 10*time.Millisecond)
	_, err = read.Exec(t.Context(), "INSERT INTO seen VALUES (2)")
	assert.ErrorContains(t, err, "read-only")
}

func TestAStandbyNeedsItsPrimary(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t, pgtest.Unsafe())
	require.NoError(t, primary.Crash(t.Context()))
	_, err := primary.Standby(t.Context())
	assert.ErrorContains(t, err, "pg_basebackup")
}
