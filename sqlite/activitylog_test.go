package sqlite_test

import (
	"testing"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audittest"
	"github.com/evident-go/evident/sqlite"
)

func TestConformanceActivityLog(t *testing.T) {
	t.Parallel()
	audittest.RunAppend(t, func(t *testing.T) audittest.AppendHarness {
		t.Helper()
		store, _ := newQuickStore(t)
		return audittest.Fed(t, store, sqlite.NewAuditLog(store, audit.Config{}))
	})
}
