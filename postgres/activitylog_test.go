package postgres_test

import (
	"testing"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/postgres"
)

func TestConformanceActivityLog(t *testing.T) {
	t.Parallel()
	shared := newSharedDatabase(t)
	audittest.RunAppend(t, func(t *testing.T) audittest.AppendHarness {
		t.Helper()
		store := shared.home(t)
		return audittest.Fed(t, store.Store, postgres.NewAuditLog(store.Store, audit.Config{}))
	})
}
