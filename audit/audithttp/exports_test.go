package audithttp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/event"
)

// trailer is the last line of an export.
type trailer struct {
	Trailer struct {
		Count, SHA256 string
		AsOf          struct{ Position string } `json:"as_of"`
	}
}

// whole reports whether an export is complete, as a client finds it out.
func whole(data []byte) bool {
	data, ended := bytes.CutSuffix(data, []byte("\n"))
	at := bytes.LastIndexByte(data, '\n') + 1
	var last trailer
	if !ended || json.Unmarshal(data[at:], &last) != nil {
		return false
	}
	sum := sha256.Sum256(data[:at])
	return last.Trailer.SHA256 == hex.EncodeToString(sum[:])
}

func TestNDJSONEndsWithATrailerSoThatACutIsSeen(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 5)
	s.seed(t, "globex", 5)
	got := s.get("/v1/audit/records?order=asc&entity_type=Document", accepting("application/x-ndjson"))
	require.Equal(t, http.StatusOK, got.Code)
	assert.Equal(t, "application/x-ndjson", got.Header().Get("Content-Type"))
	data := got.Body.Bytes()
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	require.Len(t, lines, 6)
	last := decode[trailer](t, []byte(lines[5]))
	assert.Equal(t, "5", last.Trailer.Count)
	assert.Equal(t, "5", last.Trailer.AsOf.Position)
	assert.True(t, whole(data))
	for cut := range data {
		assert.False(t, whole(data[:cut]), "cut after %d bytes", cut)
	}
	altered := bytes.Replace(bytes.Clone(data), []byte("user:u1"), []byte("user:u2"), 1)
	assert.False(t, whole(altered))
	exported := s.records("audit.records.exported")
	require.Len(t, exported, 1)
	assert.Equal(t, event.Metadata{
		"format": "application/x-ndjson", "as_of": "5", "filter.order": "asc", "filter.entity_type": "Document", "auth_method": "test",
	}, exported[0].Metadata())
}

func TestAnExportIsWhole(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 450)
	got := s.get("/v1/audit/records", accepting("application/x-ndjson"))
	assert.Equal(t, 451, strings.Count(got.Body.String(), "\n"))
	for _, name := range []string{"limit=5", "cursor=x"} {
		p := s.refused(s.get("/v1/audit/records?"+name, accepting("text/csv")), http.StatusBadRequest, "invalid-parameter")
		assert.Contains(t, p.Detail, "an export is whole")
	}
	head := s.do(http.MethodHead, "/v1/audit/records", "", accepting("text/csv"))
	assert.Equal(t, http.StatusOK, head.Code)
	assert.Len(t, s.records("audit.records.exported"), 2, "a HEAD counts as reading")
}

func TestCSVIsRFC4180AndNothingIsComputed(t *testing.T) {
	t.Parallel()
	s := newService(t)
	owners := []string{
		"=1+1", "+1", "-1", "@SUM(A1)", `=HYPERLINK("http://x","y")`, `say "hi", you`, " led", "plain",
	}
	for _, owner := range owners {
		_, err := s.log.Append(t.Context(), audit.Draft{
			TenantID: "acme", Action: "thing.done", Entity: audit.EntityRef{Type: "Thing", ID: owner}, OwnerID: owner,
			Metadata: event.Metadata{"text": "\tline\r\nbreak"},
		})
		require.NoError(t, err)
	}
	got := s.get("/v1/audit/records?order=asc", accepting("text/csv"))
	require.Equal(t, http.StatusOK, got.Code)
	assert.Equal(t, "text/csv; charset=utf-8; header=present", got.Header().Get("Content-Type"))
	assert.Contains(t, got.Header().Get("Content-Disposition"), "audit.csv")
	assert.Equal(t, len(owners)+1, strings.Count(got.Body.String(), "\r\n"))
	rows, err := csv.NewReader(bytes.NewReader(got.Body.Bytes())).ReadAll()
	require.NoError(t, err)
	column := func(name string) int {
		for i, title := range rows[0] {
			if title == name {
				return i
			}
		}
		require.Fail(t, "no column "+name)
		return 0
	}
	for i, owner := range owners {
		want := owner
		if strings.ContainsAny(owner[:1], "=+-@") {
			want = "'" + owner
		}
		assert.Equal(t, want, rows[i+1][column("owner_id")])
		assert.Equal(t, want, rows[i+1][column("entity_id")])
		assert.JSONEq(t, `{"text":"\tline\r\nbreak"}`, rows[i+1][column("metadata")])
	}
}

func TestFormatsAreNegotiated(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 1)
	for accept, want := range map[string]string{
		"":                                      "application/json",
		"*/*":                                   "application/json",
		"application/*":                         "application/json",
		"text/*":                                "text/csv; charset=utf-8; header=present",
		"text/csv;header=present":               "text/csv; charset=utf-8; header=present",
		"TEXT/CSV; charset=UTF-8":               "text/csv; charset=utf-8; header=present",
		"application/json;q=0.5, text/csv":      "text/csv; charset=utf-8; header=present",
		"application/x-ndjson;q=0.9, */*;q=0.1": "application/x-ndjson",
		"application/json;q=0, */*":             "application/x-ndjson",

		// What a browser sends.
		"text/html, application/xhtml+xml, */*;q=0.8": "application/json",

		"text/csv;q=0.001":                "text/csv; charset=utf-8; header=present",
		"nonsense, application/json":      "application/json",
		"image/png":                       "",
		"text/csv;header=absent":          "",
		"*/*;q=0":                         "",
		"application/json;q=2":            "",
		"application/json;q=NaN":          "",
		"application/json;q=0":            "",
		"*":                               "",
		"application/json;charset=latin1": "",
	} {
		got := s.get("/v1/audit/records", func(c *call) {
			if accept != "" {
				c.header.Set("Accept", accept)
			}
		})
		if want == "" {
			p := s.refused(got, http.StatusNotAcceptable, "not-acceptable")
			assert.Contains(t, p.Detail, "application/json, application/x-ndjson and text/csv")
			continue
		}
		assert.Equal(t, http.StatusOK, got.Code, accept)
		assert.Equal(t, want, got.Header().Get("Content-Type"), accept)
	}
	got := s.get("/v1/audit/records", with("Accept", "image/png", "text/csv"))
	assert.Equal(t, http.StatusOK, got.Code, "several headers are one list")
}

// cut yields records until it fails.
type cut struct {
	audit.Finder

	after int
}

func (c cut) Find(ctx context.Context, query audit.Query) iter.Seq2[audit.ActivityRecord, error] {
	return func(yield func(audit.ActivityRecord, error) bool) {
		n := 0
		for r, err := range c.Finder.Find(ctx, query) {
			if n++; n > c.after {
				yield(audit.ActivityRecord{}, errors.New("disk on fire at /var/secret"))
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestAnErrorInTheMiddleOfAnExportAbortsTheConnection(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"application/x-ndjson", "text/csv"} {
		s := newService(t, func(c *making) { c.finder = cut{c.store.log, 1000} })
		fill(t, s, 2000)
		server := httptest.NewServer(s.handler)
		t.Cleanup(server.Close)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/audit/records", http.NoBody)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer alice")
		r.Header.Set("Accept", kind)
		got, err := server.Client().Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = got.Body.Close() })
		assert.Equal(t, http.StatusOK, got.StatusCode)
		data, err := io.ReadAll(got.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.NotEmpty(t, data)
		assert.False(t, whole(data))
		assert.NotContains(t, string(data), "secret")
		require.NotEmpty(t, s.reports.all())
	}
}

func TestExportsNeedTheirOwnScope(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.refused(s.get("/v1/audit/records", accepting("text/csv"), as("reader")), http.StatusForbidden, "insufficient-scope")
	assert.Contains(t, p.Detail, "audit:export")
	s.refused(s.get("/v1/audit/records", accepting("application/x-ndjson"), as("reader")), http.StatusForbidden, "insufficient-scope")
	assert.Equal(t, http.StatusOK, s.get("/v1/audit/records", as("reader")).Code)
	assert.Len(t, s.records("audit.records.read"), 1, "the page")
	denied := s.records(auth.ActionDenied)
	require.Len(t, denied, 2)
	assert.Equal(t, "lacks the permission audit:export", denied[0].Reason())
}

// An export of everything must hold a bounded part of it at a time.
func TestAnExportHoldsLittleAtATime(t *testing.T) {
	t.Parallel()
	s := newService(t, func(m *making) { m.finder = endless{m.store.log, 100_000} })
	sink, before := &sink{header: http.Header{}}, time.Now()
	s.handler.ServeHTTP(sink, call{method: http.MethodGet, target: "/v1/audit/records", token: "alice", header: http.Header{"Accept": {"application/x-ndjson"}}}.request())
	assert.Equal(t, http.StatusOK, sink.status)
	assert.Greater(t, sink.total, 100_000*200)
	assert.LessOrEqual(t, sink.largest, 64<<10, "it is written in chunks of at most this many bytes")
	assert.Equal(t, sink.writes, sink.flushes, "and every chunk is sent at once")
	require.Len(t, sink.deadlines, sink.writes+1, "a client that stops reading is left: each chunk has its time, and the end")
	assert.WithinRange(t, sink.deadlines[0], before.Add(30*time.Second), time.Now().Add(30*time.Second))
}

// BenchmarkExport writes NDJSON to nowhere.
func BenchmarkExport(b *testing.B) {
	const records = 10_000
	s := newService(b, func(m *making) { m.finder = endless{m.store.log, records} })
	for b.Loop() {
		s.handler.ServeHTTP(&sink{header: http.Header{}}, call{method: http.MethodGet, target: "/v1/audit/records", token: "alice", header: http.Header{"Accept": {"application/x-ndjson"}}}.request())
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}
