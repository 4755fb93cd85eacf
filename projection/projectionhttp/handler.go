package projectionhttp

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/evident-go/evident/projection"
)

// The paths that a [Handler] answers by itself.
const (
	LivePath  = "/livez"
	ReadyPath = "/readyz"
)

// Handler answers GET [LivePath] and GET [ReadyPath]; [Handler.Live],
// [Handler.Ready] and [Handler.Status] answer at whatever path they are mounted.
// It is safe for concurrent use.
type Handler struct {
	config  Config
	status  *projection.StatusCache
	mux     *http.ServeMux
	journal journal
}

// New returns a handler. Errors are those of [Config.Validate].
func New(config Config) (*Handler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	cache, err := projection.NewStatusCache(config.Status, projection.StatusCacheConfig{Timeout: config.Timeout, Keep: config.Keep, Now: config.Now})
	if err != nil {
		return nil, err // Validate has checked it.
	}
	h := &Handler{config: config, status: cache, mux: http.NewServeMux(), journal: journal{log: config.Logger}}
	h.mux.Handle(LivePath, h.Live())
	h.mux.Handle(ReadyPath, h.Ready())
	return h, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Live answers whether the loops of all projections go round: 200, or 503 if one
// is dead. If the one who is asked is no [projection.Pulser] and the store does
// not answer, nothing can be told, and the answer is 200: a process need not be
// started anew because its store is down.
func (h *Handler) Live() http.Handler { return h.get(h.live) }

// Ready answers whether the read models can be relied on: 200 if all are healthy
// or degraded, else 503.
func (h *Handler) Ready() http.Handler { return h.get(h.ready) }

// Status answers with all that is known of the projections: 200, or 503 if the
// store does not answer. It says why, with the texts of errors, and who has paused
// or ordered what: mount it behind authentication.
func (h *Handler) Status() http.Handler { return h.get(h.everything) }

// get refuses what is neither GET nor HEAD.
func (h *Handler) get(answer func(r *http.Request) (code int, body page)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			write(w, r, http.StatusMethodNotAllowed, &probe{Verdict: "method not allowed"})
			return
		}
		code, body := answer(r)
		write(w, r, code, body)
	})
}

func (h *Handler) live(r *http.Request) (int, page) {
	statuses := h.status.Pulse()
	if statuses == nil {
		var err error
		if statuses, err = h.ask(r); err != nil {
			return http.StatusOK, &probe{Verdict: projection.Unknown.String(), OK: true, CheckedAt: h.config.Now()}
		}
	}
	report := h.config.Health.Check(h.config.Now(), statuses)
	h.journal.pulse(report)
	return code(report.Alive()), liveness(report)
}

func (h *Handler) ready(r *http.Request) (int, page) {
	statuses, err := h.ask(r)
	if err != nil {
		return http.StatusServiceUnavailable, &probe{Verdict: projection.Unknown.String(), CheckedAt: h.config.Now()}
	}
	report := h.config.Health.Check(h.config.Now(), statuses)
	h.journal.report(report)
	return code(report.Ready()), readiness(report)
}

func (h *Handler) everything(r *http.Request) (int, page) {
	statuses, err := h.ask(r)
	if err != nil {
		return http.StatusServiceUnavailable, &overview{Verdict: projection.Unknown.String(), CheckedAt: h.config.Now(), Problem: err.Error()}
	}
	report := h.config.Health.Check(h.config.Now(), statuses)
	h.journal.report(report)
	return http.StatusOK, newOverview(report)
}

// ask returns where projections stand, as far as the store says so in time.
func (h *Handler) ask(r *http.Request) ([]projection.Status, error) {
	statuses, err := h.status.Status(r.Context())
	if err != nil && r.Context().Err() == nil { // else the client has gone away, and nothing is wrong.
		h.journal.unanswered(err)
	}
	return statuses, err
}

func code(ok bool) int {
	if ok {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

var _ http.Handler = (*Handler)(nil)

// fields say in a log which projection a line is about.
func fields(d projection.Diagnosis) []zap.Field {
	return []zap.Field{
		zap.String("projection", d.Status.Projection), zap.Int("version", d.Status.Version),
		zap.Uint64("position", d.Status.Position), zap.Strings("reasons", d.Reasons),
	}
}
