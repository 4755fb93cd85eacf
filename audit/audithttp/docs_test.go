package audithttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/evident-go/evident/audit/audithttp"
)

func TestDocsHaveNoScriptAndNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s := newService(t)
	got := s.get("/v1/audit/docs", as(""))
	require.Equal(t, http.StatusOK, got.Code)
	policy := got.Header().Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'none'; style-src 'sha256-")
	assert.Contains(t, policy, "frame-ancestors 'none'")
	assert.NotContains(t, policy, "unsafe")
	body := got.Body.String()
	for _, never := range []string{"<script", "http://", "https://", "src=", "<link", "@import", "url("} {
		assert.NotContains(t, body, never)
	}
	for _, route := range audithttp.Routes() {
		assert.Contains(t, body, "<code>"+route.Path+"</code>")
	}
	for code := range audithttp.Codes() {
		assert.Contains(t, body, `id="`+code+`"`, "the type of a problem leads here")
	}
}

// browser starts a headless browser that ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	require.NotEmpty(t, path, "no Chromium in PATH: run `make chromium`")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

func evaluate[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(t, err)
	return value
}

func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	s := newService(t)
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	ctx := browser(t)
	var mu sync.Mutex
	var asked []string
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, func(happened any) {
		mu.Lock()
		defer mu.Unlock()
		if request, ok := happened.(*network.EventRequestWillBeSent); ok {
			asked = append(asked, request.Request.URL)
		}
	}))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(server.URL+"/v1/audit/docs")))
	title := evaluate[string](ctx, t, `document.title`)
	operations := evaluate[int](ctx, t, `document.querySelectorAll("details.operation").length`)
	tables := evaluate[int](ctx, t, `[...document.querySelectorAll("details.operation")].filter(d => d.offsetHeight > 40 && d.querySelector("table")).length`)
	color := evaluate[string](ctx, t, `getComputedStyle(document.querySelector("b.POST")).backgroundColor`)
	loaded := evaluate[[]string](ctx, t, `performance.getEntriesByType("resource").map(r => r.name)`)
	assert.Equal(t, "evident audit API", title)
	assert.Equal(t, len(audithttp.Routes()), operations)
	assert.Equal(t, operations, tables, "every operation is drawn with its table")
	assert.Equal(t, "rgb(42, 125, 60)", color, "the policy lets the style through")
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, asked)
	for _, address := range append(asked, loaded...) {
		at, err := url.Parse(address)
		require.NoError(t, err)
		assert.Equal(t, strings.TrimPrefix(server.URL, "http://"), at.Host, "%s is somewhere else", address)
	}
}
