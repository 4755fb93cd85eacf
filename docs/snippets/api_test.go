package snippets_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/audit/audithttp"
	"github.com/evident-go/evident/auth"
	"github.com/evident-go/evident/memory"
)

// reader stands for what a verified token says.
func reader(*http.Request) (auth.Principal, error) {
	return auth.Principal{
		ActorID: "user:alice", TenantID: "acme",
		Permissions: []auth.Permission{audithttp.Read, audithttp.Write, audithttp.Export},
	}, nil
}

// mountAPI returns a mux with the API of a store.
func mountAPI(store *memory.Store, authenticate func(*http.Request) (auth.Principal, error), cursorKey []byte) (*http.ServeMux, error) {
	log, err := audit.NewLog(store, audit.Replay(store, audit.Config{}), audit.LogConfig{})
	if err != nil {
		return nil, err
	}
	recorder, err := auth.NewRecorder(log, auth.RecorderConfig{})
	if err != nil {
		return nil, err
	}
	//docs:begin mount
	limit, err := audithttp.PerPrincipal(20, 100) // requests a second, and at once
	if err != nil {
		return nil, err
	}
	handler, err := audithttp.New(audithttp.Config{
		Log:          log,
		Activity:     audit.ReplayActivities(store),
		Authenticate: authenticate,
		Recorder:     recorder,            // the middleware's: refusals are recorded by it
		CursorKeys:   [][]byte{cursorKey}, // the same in every process
		RateLimit:    limit,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/audit", handler)
	mux.Handle("/v1/audit/", handler)
	//docs:end mount
	return mux, nil
}

// withAPI runs an example at a server.
func withAPI(example func(ctx context.Context, base string) error) {
	ctx := context.Background()
	store, err := memory.Open(ctx, memory.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux, err := mountAPI(store, reader, bytes.Repeat([]byte("k"), audithttp.MinKeyBytes))
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(mux)
	defer server.Close()
	if err := example(ctx, server.URL+"/v1/audit"); err != nil {
		fmt.Println(err)
	}
}

//docs:begin append

// exported records that a document was exported. It can be called again and
// again with the same job: the record is stored once.
func exported(ctx context.Context, base, document, job string) (*http.Response, error) {
	body := fmt.Sprintf(`{"action": "document.exported", "entity": {"type": "Document", "id": %q}}`, document)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/records", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "export-"+job)
	return http.DefaultClient.Do(request)
}

//docs:end append

func Example_apiAppend() {
	withAPI(func(ctx context.Context, base string) error {
		for range 2 {
			response, err := exported(ctx, base, "4711", "job-1")
			if err != nil {
				return err
			}
			if err := response.Body.Close(); err != nil {
				return err
			}
			fmt.Printf("%d %q\n", response.StatusCode, response.Header.Get("Idempotency-Replayed"))
		}
		return nil
	})
	// Output:
	// 201 ""
	// 201 "true"
}

//docs:begin poll

// page is as much of a page as follow needs.
type page struct {
	Data []struct {
		Action string `json:"action"`
	} `json:"data"`
	HasMore    bool   `json:"has_more"`
	NextCursor string `json:"next_cursor"`
}

// follow reads everything from the cursor on, and returns the cursor to poll
// with later. It starts at the beginning with "".
func follow(ctx context.Context, base, cursor string, each func(action string)) (string, error) {
	for {
		query := url.Values{"order": {"asc"}, "action": {"document.exported"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var p page
		if err := fetch(ctx, base+"/records?"+query.Encode(), &p); err != nil {
			return cursor, err
		}
		for _, record := range p.Data {
			each(record.Action)
		}
		cursor = p.NextCursor
		if !p.HasMore {
			return cursor, nil
		}
	}
}

//docs:end poll

func fetch(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func Example_apiPoll() {
	withAPI(func(ctx context.Context, base string) error {
		cursor := ""
		for i := range 3 {
			response, err := exported(ctx, base, "4711", strconv.Itoa(i))
			if err != nil {
				return err
			}
			if err := response.Body.Close(); err != nil {
				return err
			}
			fmt.Println("poll")
			if cursor, err = follow(ctx, base, cursor, func(action string) { fmt.Println(action) }); err != nil {
				return err
			}
		}
		return nil
	})
	// Output:
	// poll
	// document.exported
	// poll
	// document.exported
	// poll
	// document.exported
}

//docs:begin verify

// verify reports whether an NDJSON export is complete: the last line names how
// many there are and the digest of all before it.
func verify(export []byte) error {
	lines, ended := bytes.CutSuffix(export, []byte("\n"))
	at := bytes.LastIndexByte(lines, '\n') + 1
	var last struct {
		Trailer *struct {
			SHA256 string `json:"sha256"`
		} `json:"trailer"`
	}
	if err := json.Unmarshal(lines[at:], &last); err != nil || last.Trailer == nil || !ended {
		return errors.New("the export was cut off")
	}
	if sum := sha256.Sum256(export[:at]); hex.EncodeToString(sum[:]) != last.Trailer.SHA256 {
		return errors.New("the export was altered")
	}
	return nil
}

//docs:end verify

func Example_apiExport() {
	withAPI(func(ctx context.Context, base string) error {
		response, err := exported(ctx, base, "4711", "1")
		if err != nil {
			return err
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/records", http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set("Accept", "application/x-ndjson")
		if response, err = http.DefaultClient.Do(request); err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		export, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		fmt.Println(verify(export))
		fmt.Println(verify(export[:len(export)/2]))
		fmt.Println(verify(bytes.Replace(export, []byte("4711"), []byte("4712"), 1)))
		return nil
	})
	// Output:
	// <nil>
	// the export was cut off
	// the export was altered
}
