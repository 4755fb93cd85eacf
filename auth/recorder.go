package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evident-go/evident/audit"
	"github.com/evident-go/evident/event"
)

// Actions of the activities that a [Recorder] appends.
const (
	// ActionDenied is what somebody known did who was not allowed to.
	ActionDenied = "auth.denied"
	// ActionFailed is a credential that was refused.
	ActionFailed = "auth.failed"
)

// Metadata keys of these activities. A record with [KeyCount] stands for so
// many refusals between two times.
const (
	KeyReason     = "reason"
	KeyKeyID      = "key_id"
	KeyPermission = "permission"
	KeyCount      = "count"
	KeyFirstAt    = "first_at"
	KeyLastAt     = "last_at"
	KeyReasons    = "reasons" // for example "expired: 12, signature: 3"
)

// Entity types of these activities.
const (
	// EntityAuthentication is what a failed authentication is about; its id is
	// the kind of credential.
	EntityAuthentication = "Authentication"
	// EntityPermission is what a denial is about that concerns nothing else.
	EntityPermission = "Permission"
)

// RecorderConfig bounds what a [Recorder] stores. The zero value is ready.
//
// Failed authentications are counted by source: the request's IPv4 address, or
// the /64 of its IPv6 address. Denials are counted by actor and by whom it acts
// for. Of each, the first Burst in a Window are stored one by one; the others
// are counted, and stored as one record that says how many, when and why, and
// the address or the network that all of them came from. Sources beyond
// MaxSources share one count. So a window has at most 2 × (MaxSources+1) × (Burst+1)
// records, 2,222 a minute by default, whatever anybody tries.
type RecorderConfig struct {
	// Window is how long refusals are counted together. Default 1 minute.
	Window time.Duration
	// Burst is how many of a source are stored one by one. Default 10.
	Burst int
	// MaxSources is how many sources are told apart in a window. Default 100.
	MaxSources int
	// Timeout bounds an append. Default 5 s.
	Timeout time.Duration
	// Report is told of counts that could not be stored in time; they are tried
	// again. It must not block. Default: nobody.
	Report func(ctx context.Context, err error)
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Validate refuses negative numbers. The error names the field.
func (c RecorderConfig) Validate() error {
	for _, n := range []struct {
		field string
		value int64
	}{
		{"window", int64(c.Window)}, {"burst", int64(c.Burst)}, {"max_sources", int64(c.MaxSources)}, {"timeout", int64(c.Timeout)},
	} {
		if n.value < 0 {
			return &event.InvalidError{Field: n.field, Reason: "must not be negative; 0 means the default"}
		}
	}
	return nil
}

func (c RecorderConfig) withDefaults() RecorderConfig {
	setDefault(&c.Window, time.Minute)
	setDefault(&c.Burst, 10)
	setDefault(&c.MaxSources, 100)
	setDefault(&c.Timeout, 5*time.Second)
	if c.Report == nil {
		c.Report = func(context.Context, error) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Recorder appends an activity for every denial and every failed
// authentication. It is safe for concurrent use.
//
// It stores no credential, and of what a caller claims only the request's id,
// trace, address and user agent, and the id of the key that a credential
// names. Whoever failed to authenticate is anonymous and of no tenant: the log
// must not be bound to one.
//
// An append goes on when the caller has gone away. What could not be stored is
// counted, and is part of the next counted record; so is what may have been
// stored (eventstore.ErrOutcomeUnknown): then a refusal is there twice rather
// than not at all.
type Recorder struct {
	log    audit.Appender
	config RecorderConfig

	failures *tally
	denials  *tally
}

// NewRecorder returns a recorder that appends to log. Let its Run run in a
// goroutine of yours, or call Flush before the program ends: what is counted
// and not yet stored is in memory only. The error names the field.
func NewRecorder(log audit.Appender, config RecorderConfig) (*Recorder, error) {
	if log == nil {
		return nil, &event.InvalidError{Field: "log", Reason: "must not be nil"}
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	return &Recorder{log: log, config: config, failures: newTally(config), denials: newTally(config)}, nil
}

// Failed records that a credential of the given kind ("bearer", "api_key") was
// refused with err. It returns nil if that is recorded or counted.
func (r *Recorder) Failed(ctx context.Context, kind string, err error) error {
	reason, keyID := NotAccepted, ""
	if refused, ok := errors.AsType[*CredentialError](err); ok {
		reason, keyID, kind = refused.Reason, refused.KeyID, orText(refused.Method, kind)
	}
	d := r.draft(ctx, ActionFailed)
	d.ActorID, d.Outcome = event.Anonymous, audit.Failure
	d.Entity = audit.EntityRef{Type: EntityAuthentication, ID: orText(written(kind, audit.MaxEntityIDBytes), "unknown")}
	d.Reason = "credential refused: " + written(string(reason), event.MaxNameBytes)
	d.Metadata = event.Metadata{KeyReason: written(string(reason), event.MaxNameBytes)}
	if keyID != "" {
		d.Metadata[KeyKeyID] = written(keyID, event.MaxNameBytes)
	}
	return r.record(ctx, r.failures, network(d.Request.SourceAddress), d)
}

// Denied records that somebody was not allowed to do something. It returns nil
// if that is recorded or counted.
func (r *Recorder) Denied(ctx context.Context, denied *DeniedError) error {
	d := r.draft(ctx, ActionDenied)
	d.ActorID, d.OnBehalfOf, d.TenantID, d.Outcome = denied.ActorID, denied.OnBehalfOf, denied.TenantID, audit.Denied
	d.Entity, d.Reason = denied.Entity, written(denied.Reason, audit.MaxReasonBytes)
	permission := written(string(denied.Permission), event.MaxNameBytes)
	d.Metadata = event.Metadata{KeyReason: orText(permission, written(denied.Reason, event.MaxNameBytes))}
	if permission != "" {
		d.Metadata[KeyPermission] = permission
	}
	if d.Entity == (audit.EntityRef{}) {
		d.Entity = audit.EntityRef{Type: EntityPermission, ID: orText(permission, "none")}
	}
	source := string(d.TenantID) + "\x00" + string(d.ActorID) + "\x00" + string(d.OnBehalfOf)
	if d.ActorID == event.Anonymous {
		d.Metadata[KeyReason] = string(nobody)
		source = network(d.Request.SourceAddress)
	}
	return r.record(ctx, r.denials, source, d)
}

func (r *Recorder) draft(ctx context.Context, action string) audit.Draft {
	now := r.config.Now()
	return audit.Draft{
		ID: event.NewIDAt(now), OccurredAt: now, Action: action,
		Request: RequestFrom(ctx), CorrelationID: event.CorrelationFrom(ctx), CausationID: event.CausationFrom(ctx),
	}
}

// refuse records a denial and returns what the caller is to get. A recorder
// that is nil records nothing.
func (r *Recorder) refuse(ctx context.Context, denied *DeniedError, answer error) error {
	if r == nil {
		return answer
	}
	if err := r.Denied(ctx, denied); err != nil {
		return &RecordError{Refusal: answer, Err: err}
	}
	return answer
}

// record stores d, unless its source has had its share, and whatever counts
// are due. The error is d's only: counts are tried again.
func (r *Recorder) record(ctx context.Context, t *tally, source string, d audit.Draft) error {
	due, share := t.admit(source, d)
	r.storeDue(ctx, t, due)
	if !share {
		return nil
	}
	if err := r.append(ctx, d); err != nil {
		t.putBack(one(source, d), 1)
		return err
	}
	return nil
}

// store stores counts up to the first that cannot be; that one and the rest
// are put back, so that nobody waits for a log that is down more than once.
func (r *Recorder) store(ctx context.Context, t *tally, due []*counted) error {
	for i, c := range due {
		if err := r.append(ctx, c.draft(r.config.Now())); err != nil {
			for _, rest := range due[i:] {
				t.putBack(rest, 0)
			}
			return err
		}
	}
	return nil
}

// storeDue stores counts for nobody who waits for them: what fails is part of a
// later record.
func (r *Recorder) storeDue(ctx context.Context, t *tally, due []*counted) {
	if err := r.store(ctx, t, due); err != nil {
		r.config.Report(ctx, err)
	}
}

// append does not end with the caller: whoever hangs up must not go unrecorded.
// Nothing of the caller's context is added to what the draft says.
func (r *Recorder) append(ctx context.Context, d audit.Draft) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Timeout)
	defer cancel()
	ctx = event.WithOrigin(ctx, event.Origin{TenantID: d.TenantID})
	if _, err := r.log.Append(ctx, d); err != nil {
		return fmt.Errorf("record %s: %w", d.Action, err)
	}
	return nil
}

// Flush stores what is counted, whether its window is over or not. What could
// not be stored stays counted; the error says why.
func (r *Recorder) Flush(ctx context.Context) error {
	return errors.Join(
		r.store(ctx, r.failures, r.failures.take()),
		r.store(ctx, r.denials, r.denials.take()),
	)
}

// Run stores counts when their window is over, until ctx ends; then it stores
// what is left, within the config's timeout for each record, and returns the
// error of that.
func (r *Recorder) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.config.Window)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.sweep(ctx)
		case <-ctx.Done():
			return r.Flush(context.WithoutCancel(ctx))
		}
	}
}

func (r *Recorder) sweep(ctx context.Context) {
	for _, t := range []*tally{r.failures, r.denials} {
		r.storeDue(ctx, t, t.due())
	}
}

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

type recorderKey struct{}

// WithRecorder returns a context whose denials r records.
func WithRecorder(ctx context.Context, r *Recorder) context.Context {
	return context.WithValue(ctx, recorderKey{}, r)
}

// RecorderFrom returns the recorder that ctx carries, or nil if none.
func RecorderFrom(ctx context.Context) *Recorder {
	r, _ := ctx.Value(recorderKey{}).(*Recorder)
	return r
}
