package audithttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/auth"
)

// Handler serves an audit log. It is safe for concurrent use.
type Handler struct {
	config   Config
	routes   []route
	contract contract
}

// New returns a handler. The error, an [*event.InvalidError], names the field
// of config that is missing or wrong: without Authenticate there is no handler.
func New(config Config) (*Handler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	contract, err := newContract(config.Prefix)
	if err != nil {
		return nil, err
	}
	return &Handler{config: config, routes: routes(), contract: contract}, nil
}

// Contract returns the OpenAPI document that the handler serves, as JSON.
func (h *Handler) Contract() []byte { return append([]byte(nil), h.contract.json...) }

// exchange is one request with its answer.
type exchange struct {
	h         *Handler
	w         http.ResponseWriter
	r         *http.Request // with the principal and, when it is known, a deadline
	arrived   *http.Request // without
	route     *route
	path      map[string]string
	who       auth.Principal
	format    string // of the answer
	requestID string
	answered  bool
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{h: h, w: w, r: r, arrived: r, requestID: requestID(r)}
	x.secure()
	x.allowOrigin()
	if err := x.guarded(x.handle); err != nil {
		x.fail(r.Context(), err)
	}
}

// guarded calls f and turns a panic into an error, unless it is the one that
// aborts the connection on purpose.
func (x *exchange) guarded(f func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if e, ok := v.(error); ok && errors.Is(e, http.ErrAbortHandler) {
			panic(v)
		}
		err = panicked(v)
	}()
	return f()
}

// fail answers with what went wrong, or aborts an answer that has begun.
func (x *exchange) fail(ctx context.Context, err error) {
	p := problemOf(err)
	if p.cause != nil && ctx.Err() == nil { // else the client has gone away, and nothing is wrong.
		x.report(ctx, err)
	}
	if x.answered {
		panic(http.ErrAbortHandler)
	}
	p.write(x)
}

// report tells the operator. A report that panics must not change the answer.
func (x *exchange) report(ctx context.Context, err error) {
	_ = x.guarded(func() error {
		x.h.config.Report(ctx, err)
		return nil
	})
}

func (x *exchange) handle() error {
	if err := x.checkSize(); err != nil {
		return err
	}
	route, path, allow := x.h.find(x.r)
	switch {
	case len(allow) == 0:
		return refuse(codeNotFound, "there is no such path")
	case x.r.Method == http.MethodOptions:
		return x.options(allow)
	case route == nil:
		return &problem{code: codeMethodNotAllowed, detail: "records are read and added, never changed or deleted", allow: strings.Join(allow, ", ")}
	}
	x.route, x.path = route, path
	ctx, cancel := context.WithTimeout(x.r.Context(), x.h.config.Timeout)
	defer cancel()
	x.r = x.r.WithContext(ctx)
	if err := x.admit(); err != nil {
		return err
	}
	return route.serve(x)
}

// records is what the principal may see of the log.
func (x *exchange) records() audit.Reader {
	if x.who.TenantID == "" {
		return x.h.config.Log.Reader // admitted by WithoutTenants.
	}
	return x.h.config.Log.ForTenant(x.who.TenantID)
}

// activity is what the principal may see of the feeds.
func (x *exchange) activity() audit.ActivityReader {
	if x.who.TenantID == "" {
		return x.h.config.Activity
	}
	return x.h.config.Activity.ForTenant(x.who.TenantID)
}

// begin sends the head of an answer.
func (x *exchange) begin(status int, contentType string) {
	x.answered = true
	x.w.Header().Set("Content-Type", contentType)
	x.w.WriteHeader(status)
}

// write answers in one piece. A client that has gone away is nobody's fault.
func (x *exchange) write(status int, contentType string, body []byte) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.begin(status, contentType)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body)
	}
}
