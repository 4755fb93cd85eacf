package pgtest_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/internal/pgtest"
)

func TestAProgramHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	server := pgtest.URL(t)
	url, drop, err := pgtest.Database(t.Context(), server)
	require.NoError(t, err)
	assert.Equal(t, portOf(t, server), portOf(t, url))
	execute(t, connect(t, url), "CREATE TABLE mine (n int)") // left open

	require.NoError(t, drop(t.Context()))
	_, err = pgx.Connect(t.Context(), url)
	require.Error(t, err)
}

func TestADatabaseOnNoServer(t *testing.T) {
	t.Parallel()
	_, _, err := pgtest.Database(t.Context(), "postgres://127.0.0.1:1/postgres")
	require.ErrorContains(t, err, "failed to connect")

	server := pgtest.Private(t)
	keywords := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres", portOf(t, server.URL()))
	_, _, err = pgtest.Database(t.Context(), keywords)
	require.ErrorContains(t, err, "is not a URL")
	assert.Zero(t, ask[int](t, connect(t, server.URL()), "SELECT count(*) FROM pg_database WHERE datname LIKE 'evident_test_%'"))
}
