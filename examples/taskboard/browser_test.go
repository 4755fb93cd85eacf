package main

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// witness has seen what a page asked for, and what the browser complained of.
type witness struct {
	mu         sync.Mutex
	asked      []string
	complaints []string
}

func (w *witness) see(e any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := e.(type) {
	case *network.EventRequestWillBeSent:
		w.asked = append(w.asked, e.Request.URL)
	case *log.EventEntryAdded:
		w.complaints = append(w.complaints, e.Entry.Text+" "+e.Entry.URL)
	}
}

// newBrowser starts a browser that ends with the test.
func newBrowser(t *testing.T) (context.Context, *witness) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, quit := chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, // the user may be root, and the page is ours.
		chromedp.Flag("disable-dev-shm-usage", true),
	))
	t.Cleanup(quit)
	seen := &witness{}
	require.NoError(t, chromedp.Listen(ctx, seen.see))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	return ctx, seen
}

// chromium returns where a browser is. Without one the test fails: what nobody
// has looked at is not known to work.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.FailNow(t, "no browser is installed: run `make chromium`")
	return ""
}

func in[T any](t *testing.T, browser context.Context, action chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(browser, action)
	require.NoError(t, err)
	return value
}

// The page is for people who have nothing but the server.
func TestTheDocumentationInABrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t, inFolder(t))
	browser, seen := newBrowser(t)
	require.NoError(t, chromedp.Do(browser, chromedp.Navigate(s.web.base+"/")))

	assert.Equal(t, s.web.base+"/v1/audit/docs", in(t, browser, chromedp.Location()))
	title := in(t, browser, chromedp.Title())
	assert.NotEmpty(t, title)
	assert.Equal(t, title, in(t, browser, chromedp.Text("h1")))
	operations := in(t, browser, chromedp.Evaluate[[]string](`[...document.querySelectorAll("details.operation summary code")].map(e => e.innerText)`))
	assert.Contains(t, operations, "/v1/audit/records")
	assert.Contains(t, operations, "/v1/audit/traces/{correlation}")
	assert.Equal(t, "applied", in(t, browser, chromedp.Evaluate[string](
		`getComputedStyle(document.body).margin !== "8px" || getComputedStyle(document.body).maxWidth !== "none" ? "applied" : "refused"`)), "the page's style")
	require.NoError(t, chromedp.Do(browser,
		chromedp.Click(`nav a[href="#listRecords"]`),
		chromedp.WaitVisible(`#listRecords table`),
	))
	assert.True(t, strings.HasSuffix(in(t, browser, chromedp.Location()), "#listRecords"))

	seen.mu.Lock()
	defer seen.mu.Unlock()
	assert.NotEmpty(t, seen.asked)
	for _, url := range seen.asked {
		assert.True(t, strings.HasPrefix(url, s.web.base), "%s is somewhere else", url)
	}
	for _, complaint := range seen.complaints {
		assert.Contains(t, complaint, "/favicon.ico", "the browser asks for it by itself")
	}
}
