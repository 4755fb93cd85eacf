package audithttp_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
)

func TestPagesArePinnedToTheFirst(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 7)
	first := s.page("/v1/audit/records?limit=3")
	assert.Equal(t, []string{"7", "6", "5"}, first.positions())
	require.True(t, first.HasMore)
	s.seed(t, "acme", 4)
	second := s.page("/v1/audit/records?limit=3&cursor=" + first.NextCursor)
	assert.Equal(t, []string{"4", "3", "2"}, second.positions())
	assert.Equal(t, first.AsOf, second.AsOf)
	again := s.page("/v1/audit/records?cursor=" + first.NextCursor + "&limit=3&order=desc")
	assert.Equal(t, second, again, "pages can be read again, and the default order may be said")
	last := s.page("/v1/audit/records?limit=3&cursor=" + second.NextCursor)
	assert.Equal(t, []string{"1"}, last.positions())
	assert.False(t, last.HasMore)
	assert.Empty(t, last.NextCursor)
	assert.Len(t, s.records("audit.records.read"), 1, "pages that follow are not recorded again")
}

func TestPollingShowsWhatIsNew(t *testing.T) {
	t.Parallel()
	s := newService(t)
	empty := s.page("/v1/audit/records?order=asc&action=document.viewed")
	assert.Empty(t, empty.Data)
	assert.Equal(t, "0", empty.AsOf.Position)
	require.NotEmpty(t, empty.NextCursor)
	poll := func(cursor string) page {
		return s.page("/v1/audit/records?order=asc&action=document.viewed&limit=2&cursor=" + cursor)
	}
	assert.Empty(t, poll(empty.NextCursor).Data)
	s.seed(t, "acme", 3) // positions 2 to 4: the first page was recorded at 1.
	got := poll(empty.NextCursor)
	assert.Equal(t, []string{"2", "3"}, got.positions())
	assert.True(t, got.HasMore)
	s.seed(t, "acme", 1)
	rest := poll(got.NextCursor)
	assert.Equal(t, []string{"4"}, rest.positions(), "what is pinned is shown to its end first")
	assert.Equal(t, "4", rest.AsOf.Position)
	assert.False(t, rest.HasMore)
	next := poll(rest.NextCursor)
	assert.Equal(t, []string{"5"}, next.positions())
	assert.Equal(t, "5", next.AsOf.Position, "as_of of a finished cursor moves on")
	assert.Empty(t, poll(next.NextCursor).Data)
	assert.Len(t, s.records("audit.records.read"), 1, "polling is not recorded again, so it does not feed itself")
}

func TestLinkLeadsToTheNextPage(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 9)
	target, seen := "/v1/audit/entities/Document/d0/records?limit=1&order=asc&occurred_at[gte]=2024-01-15T10:30:00Z", []string(nil)
	for range 4 {
		got := s.get(target)
		require.Equal(t, http.StatusOK, got.Code, short(got.Body))
		seen = append(seen, decode[page](t, got.Body.Bytes()).positions()...)
		link := got.Header().Get("Link")
		if link == "" {
			break
		}
		require.True(t, strings.HasSuffix(link, `>; rel="next"`))
		target = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	}
	assert.Equal(t, []string{"1", "5", "9"}, seen)
}

func TestACursorHoldsForItsListOnly(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 5)
	s.seed(t, "globex", 5)
	cursor := s.page("/v1/audit/records?limit=1&entity_type=Document").NextCursor
	for name, got := range map[string]answer{
		"tenant":  s.get("/v1/audit/records?limit=1&entity_type=Document&cursor="+cursor, as("bob")),
		"actor":   s.get("/v1/audit/records?limit=1&entity_type=Document&cursor="+cursor, as("carol")),
		"filter":  s.get("/v1/audit/records?limit=1&entity_type=Other&cursor=" + cursor),
		"less":    s.get("/v1/audit/records?limit=1&cursor=" + cursor),
		"more":    s.get("/v1/audit/records?limit=1&entity_type=Document&actor_id=user:u1&cursor=" + cursor),
		"order":   s.get("/v1/audit/records?limit=1&entity_type=Document&order=asc&cursor=" + cursor),
		"path":    s.get("/v1/audit/entities/Document/d1/records?cursor=" + cursor),
		"path id": s.get("/v1/audit/entities/Document/d2/records?cursor=" + s.page("/v1/audit/entities/Document/d0/records?limit=1").NextCursor),
	} {
		p := s.refused(got, http.StatusBadRequest, "cursor-mismatch")
		assert.Equal(t, "cursor", p.Errors[0].Parameter, name)
	}
	assert.Len(t, s.page("/v1/audit/records?limit=3&entity_type=Document&cursor="+cursor).Data, 3, "another limit is fine")
}

func TestACursorWithOneBitAlteredIsRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.seed(t, "acme", 3)
	cursor := s.page("/v1/audit/records?limit=1").NextCursor
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	require.NoError(t, err)
	for bit := range len(data) * 8 {
		altered := slices.Clone(data)
		altered[bit/8] ^= 1 << (bit % 8)
		s.refused(s.get("/v1/audit/records?limit=1&cursor="+base64.RawURLEncoding.EncodeToString(altered)), http.StatusBadRequest, "invalid-cursor")
	}
	for bit := range len(cursor) * 8 { // of its text as well
		altered := []byte(cursor)
		altered[bit/8] ^= 1 << (bit % 8)
		got := s.get("/v1/audit/records?limit=1&cursor=" + url.QueryEscape(string(altered)))
		assert.Equal(t, http.StatusBadRequest, got.Code, "bit %d", bit)
	}
	for _, other := range []string{cursor + "A", cursor[:len(cursor)-1], cursor + "=", " " + cursor, strings.ToLower(cursor)} {
		s.refused(s.get("/v1/audit/records?limit=1&cursor="+url.QueryEscape(other)), http.StatusBadRequest, "invalid-cursor")
	}
}

func TestCursorKeysCanBeChanged(t *testing.T) {
	t.Parallel()
	older, newer := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 32))
	keys := func(keys ...[]byte) setting {
		return configured(func(c *audithttp.Config) { c.CursorKeys = keys })
	}
	before, between, afterwards := newService(t, keys(older)), newService(t, keys(newer, older)), newService(t, keys(newer))
	for _, s := range []*service{before, between, afterwards} {
		s.seed(t, "acme", 3)
	}
	cursor := before.page("/v1/audit/records?limit=1").NextCursor
	next := between.page("/v1/audit/records?limit=1&cursor=" + cursor)
	assert.Equal(t, []string{"2"}, next.positions())
	afterwards.refused(afterwards.get("/v1/audit/records?limit=1&cursor="+cursor), http.StatusBadRequest, "invalid-cursor")
	assert.Equal(t, []string{"1"}, afterwards.page("/v1/audit/records?limit=1&cursor="+next.NextCursor).positions())
	private := newService(t, keys())
	private.seed(t, "acme", 3)
	private.refused(private.get("/v1/audit/records?limit=1&cursor="+cursor), http.StatusBadRequest, "invalid-cursor")
}

// 40 records are appended for each page that is read: many times as fast as
// 200 a second, since a page takes milliseconds.
func TestPagingThroughALogThatGrows(t *testing.T) {
	t.Parallel()
	s := newService(t)
	fill(t, s, 100_000)
	plain := &client{t: t, handler: s.handler}
	for _, order := range []string{"asc", "desc"} {
		want := 0
		for record, err := range s.log.Recent(t.Context(), audit.Page{Limit: 1}) {
			require.NoError(t, err)
			want = int(record.Position()) // every record is acme's.
		}
		seen, pages := pageThrough(t, s, plain, order)
		require.Len(t, seen, want, order)
		slices.Sort(seen)
		assert.Len(t, slices.Compact(slices.Clone(seen)), want, "none twice")
		assert.Equal(t, uint64(1), seen[0])
		assert.Equal(t, uint64(want), seen[want-1], "none missed, and none that is newer than the first page")
		for _, i := range []int{0, 7, len(pages) / 2, len(pages) - 1} {
			again := plainPage(t, plain, order, pages[i].cursor)
			assert.Equal(t, pages[i].positions, again.positions(), "the same cursor gives the same page")
		}
	}
}

// turned is a page that was read, with the cursor that led to it.
type turned struct {
	cursor    string
	positions []string
}

func pageThrough(t *testing.T, s *service, c *client, order string) (seen []uint64, pages []turned) {
	t.Helper()
	cursor := ""
	for {
		got := plainPage(t, c, order, cursor)
		for _, text := range got.positions() {
			var position uint64
			_, err := fmt.Sscan(text, &position)
			require.NoError(t, err)
			seen = append(seen, position)
		}
		if cursor != "" {
			pages = append(pages, turned{cursor, got.positions()})
		}
		if !got.HasMore {
			return seen, pages
		}
		cursor = got.NextCursor
		fill(t, s, 40)
	}
}

// plainPage reads a page without the validator: it has seen such pages elsewhere.
func plainPage(t *testing.T, c *client, order, cursor string) page {
	t.Helper()
	target := "/v1/audit/records?limit=200&order=" + order
	if cursor != "" {
		target += "&cursor=" + cursor
	}
	got := c.raw(call{method: http.MethodGet, target: target, token: "alice", header: http.Header{}})
	require.Equal(t, http.StatusOK, got.Code, short(got.Body))
	return decode[page](t, got.Body.Bytes())
}

// fill appends n records of acme, 500 at a time.
func fill(t *testing.T, s *service, n int) {
	t.Helper()
	for n > 0 {
		drafts := make([]audit.Draft, min(n, audit.MaxAppend))
		for i := range drafts {
			drafts[i] = audit.Draft{TenantID: "acme", ActorID: "user:u1", Action: "document.viewed", Entity: audit.EntityRef{Type: "Document", ID: "d"}}
		}
		_, err := s.log.Append(t.Context(), drafts...)
		require.NoError(t, err)
		n -= len(drafts)
	}
}
