package audithttp

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// listed is a list that can be shown page by page, or exported.
type listed[T any] struct {
	find     func(ctx context.Context, page audit.Page) iter.Seq2[T, error]
	all      func(ctx context.Context, page audit.Page) iter.Seq2[T, error] // without conditions: the log itself
	position func(item T) uint64
	encode   func(item T) ([]byte, error)
	columns  []string
	row      func(item T) []string
}

// serve answers with a page or an export.
func (l listed[T]) serve(x *exchange, w want) error {
	if x.format != typeJSON {
		return l.export(x, w)
	}
	at, err := l.place(x, w)
	if err != nil {
		return err
	}
	items, err := l.read(x.r.Context(), w, at)
	if err != nil {
		return err
	}
	page := pageJSON{HasMore: len(items) > w.limit, AsOf: asOfJSON{at.asOf}}
	items = items[:min(len(items), w.limit)]
	for _, item := range items {
		data, err := l.encode(item)
		if err != nil {
			return err
		}
		page.Data = append(page.Data, data)
	}
	page.NextCursor = l.next(x, w, at, items, page.HasMore)
	if w.cursor == "" {
		if err := x.recordReading(x.route.action, w.details(x.format, at.asOf, len(items))); err != nil {
			return err
		}
	}
	if page.HasMore {
		x.w.Header().Set("Link", "<"+x.address(w, page.NextCursor)+`>; rel="next"`)
	}
	return x.answer(http.StatusOK, page.withData())
}

// place is where a page begins and where its list ends.
func (l listed[T]) place(x *exchange, w want) (cursor, error) {
	var at cursor
	if w.cursor != "" {
		var err error
		if at, err = x.verify(w.cursor, w); err != nil {
			return cursor{}, err
		}
		if !w.oldestFirst || !at.finished() {
			return at, nil
		}
	}
	end, err := l.end(x.r.Context())
	if err != nil {
		return cursor{}, err
	}
	at.asOf = max(at.asOf, end)
	return at, nil
}

// end is the position of the last item that the principal may see.
func (l listed[T]) end(ctx context.Context) (uint64, error) {
	for item, err := range l.all(ctx, audit.Page{Limit: 1}) {
		if err != nil {
			return 0, err
		}
		return l.position(item), nil
	}
	return 0, nil
}

// read returns the items of a page, and one more if there is one.
func (l listed[T]) read(ctx context.Context, w want, at cursor) ([]T, error) {
	page := audit.Page{OldestFirst: w.oldestFirst, Limit: w.limit + 1, Before: at.asOf + 1}
	if w.oldestFirst {
		page.After = at.position
	} else if at.position > 0 {
		page.Before = at.position
	}
	items := make([]T, 0, page.Limit)
	for item, err := range l.find(ctx, page) {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// next is the cursor of the following page, "" if nothing can follow.
func (l listed[T]) next(x *exchange, w want, at cursor, items []T, more bool) string {
	switch {
	case more:
		return x.sign(cursor{position: l.position(items[len(items)-1]), asOf: at.asOf}, w)
	case w.oldestFirst:
		return x.sign(cursor{position: at.asOf, asOf: at.asOf}, w)
	default:
		return ""
	}
}

// pageJSON is a page as JSON.
type pageJSON struct {
	Data       []json.RawMessage `json:"data"`
	HasMore    bool              `json:"has_more"`
	NextCursor string            `json:"next_cursor,omitempty"`
	AsOf       asOfJSON          `json:"as_of"`
}

type asOfJSON struct {
	Position uint64 `json:"position,string"`
}

// withData has an empty list rather than none.
func (p pageJSON) withData() pageJSON {
	if p.Data == nil {
		p.Data = []json.RawMessage{}
	}
	return p
}

// answer writes a value as JSON.
func (x *exchange) answer(status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	x.write(status, typeJSON, append(body, '\n'))
	return nil
}

// address is the same request with another cursor.
func (x *exchange) address(w want, next string) string {
	query := url.Values{"cursor": {next}, "limit": {strconv.Itoa(w.limit)}}
	for name, value := range w.given {
		if _, path := x.path[name]; !path {
			query.Set(name, value)
		}
	}
	return x.r.URL.EscapedPath() + "?" + query.Encode()
}

// details is what the record of a reading says of it.
func (w want) details(format string, asOf uint64, count int) event.Metadata {
	m := event.Metadata{"format": format, "as_of": strconv.FormatUint(asOf, 10)}
	if count >= 0 {
		m["count"] = count
	}
	for name, value := range w.given {
		m["filter."+name] = value
	}
	return m
}
