package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/eventstore"
)

// Result says what a [Write] added, or what it would add.
type Result struct {
	Manifest      Manifest  // as it is now
	After         uint64    // what is above this was looked at
	Until         uint64    // up to this
	Events        uint64    // how many of that were selected
	Files         int       // that hold them
	First, Last   uint64    // positions of the first and the last of them; 0 if there are none
	RecordedFrom  time.Time // when the store recorded the first; zero if there is none
	RecordedUntil time.Time // and the last
}

// Write copies events from a store to an archive, which it begins or extends:
// what is in it already is not looked at again. It returns how far the archive
// goes now. Should it fail or be killed, what was finished stays, and the next
// Write goes on from there.
//
// One Write at a time should be at work on an archive. Of two at once the later
// wins, and the archive is whole all the same. Several programs can share a
// [lease.Store].
//
// Errors: [*event.InvalidError] for a bad configuration, another store's archive
// or another selection; [ErrDamaged] and [ErrFormat] for a manifest that cannot
// be extended; [ErrAhead] for a store that has lost events;
// [*event.TooLargeError] for an event beyond [MaxLineBytes]; and
// those of the store and the target.
//
// [lease.Store]: https://pkg.go.dev/github.com/evident-go/evident/lease#Store
func Write(ctx context.Context, store eventstore.Store, target Target, config Config) (Result, error) {
	w, err := newWriter(ctx, store, target, config)
	if err != nil {
		return Result{}, fmt.Errorf("write archive: %w", err)
	}
	w.target = target
	if err := w.run(ctx); err != nil {
		return Result{}, fmt.Errorf("write archive: %w", err)
	}
	return w.result, nil
}

// Plan says what [Write] would add, and writes nothing. How many files there
// would be it does not say.
func Plan(ctx context.Context, store eventstore.Store, target fs.FS, config Config) (Result, error) {
	w, err := newWriter(ctx, store, target, config)
	if err == nil {
		err = w.run(ctx)
	}
	if err != nil {
		return Result{}, fmt.Errorf("plan archive: %w", err)
	}
	return w.result, nil
}

// writer is one run of Write, or of Plan if it has no target.
type writer struct {
	store    eventstore.Store
	target   Target
	config   Config
	manifest Manifest
	file     composition
	result   Result
}

func newWriter(ctx context.Context, store eventstore.Store, source fs.FS, config Config) (*writer, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	manifest, err := readManifest(ctx, source)
	begun := Manifest{Format: Format, StoreID: store.ID(), TenantID: tenantOf(ctx, store), Selection: config.Selection}
	if errors.Is(err, ErrNotArchive) {
		manifest, err = begun, nil
		manifest.CreatedAt = event.Time(config.Now())
	}
	if err != nil {
		return nil, err
	}
	if err := manifest.continues(begun); err != nil {
		return nil, err
	}
	w := &writer{store: store, config: config, manifest: manifest, file: composition{compression: config.Compression}}
	w.result = Result{Manifest: manifest, After: manifest.Until, Until: manifest.Until}
	return w, nil
}

// tenantOf returns the tenant that a view of a store is bound to.
func tenantOf(ctx context.Context, store eventstore.Store) event.TenantID {
	if bound, ok := store.(interface {
		Tenant(ctx context.Context) event.TenantID
	}); ok {
		return bound.Tenant(ctx)
	}
	return ""
}

// continues refuses to mix what does not belong together.
func (m Manifest) continues(begun Manifest) error {
	switch {
	case m.StoreID != begun.StoreID:
		return &event.InvalidError{Field: "store_id", Value: begun.StoreID.String(), Reason: "the archive is of store " + m.StoreID.String()}
	case m.TenantID != begun.TenantID:
		return &event.InvalidError{Field: "tenant_id", Value: string(begun.TenantID), Reason: fmt.Sprintf("the archive is of tenant %q", m.TenantID)}
	case m.Selection != begun.Selection:
		return &event.InvalidError{Field: "selection", Value: begun.Selection, Reason: fmt.Sprintf("the archive is of the selection %q", m.Selection)}
	default:
		return nil
	}
}

func (w *writer) run(ctx context.Context) error {
	until, err := w.store.Head(ctx)
	if err != nil {
		return err
	}
	if err := w.requireLast(ctx, until); err != nil {
		return err
	}
	if w.config.Until > 0 {
		until = min(until, w.config.Until)
	}
	if until <= w.manifest.Until {
		return nil
	}
	for e, err := range w.store.ReadAll(ctx, eventstore.Query{After: w.manifest.Until, Until: until}) {
		if err != nil {
			return err
		}
		if w.config.isTooYoung(&e) {
			until = e.Position - 1
			break
		}
		if !w.config.Select(e) {
			continue
		}
		w.count(&e)
		if err := w.add(ctx, &e); err != nil {
			return err
		}
	}
	w.result.Until = max(w.result.Until, until)
	return w.finish(ctx, until)
}

// requireLast refuses to go on from an event that the store does not have, or has
// another in place of.
func (w *writer) requireLast(ctx context.Context, head uint64) error {
	n := len(w.manifest.Files)
	if n == 0 {
		return nil
	}
	last := w.manifest.Files[n-1]
	if last.Last > head {
		return fmt.Errorf("%w: it has position %d, the store ends at %d", ErrAhead, last.Last, head)
	}
	for e, err := range w.store.ReadAll(ctx, eventstore.Query{After: last.Last - 1, Until: last.Last}) {
		if err != nil {
			return err
		}
		if e.Position == last.Last && e.ID == last.LastID {
			return nil
		}
	}
	return fmt.Errorf("%w: at position %d the store does not have the event that was archived", ErrAhead, last.Last)
}

func (w *writer) count(e *event.Event) {
	if w.result.Events == 0 {
		w.result.First, w.result.RecordedFrom = e.Position, e.RecordedAt
	}
	w.result.Events++
	w.result.Last, w.result.RecordedUntil = e.Position, e.RecordedAt
}

func (w *writer) add(ctx context.Context, e *event.Event) error {
	if w.target == nil {
		return nil
	}
	if err := w.file.add(e); err != nil {
		return err
	}
	if w.file.file.Bytes < w.config.FileBytes {
		return nil
	}
	return w.flush(ctx, e.Position)
}

// finish stores what is left, or at least how far was looked.
func (w *writer) finish(ctx context.Context, until uint64) error {
	switch {
	case w.target == nil || until <= w.manifest.Until:
		return nil
	case w.file.to != nil:
		return w.flush(ctx, until)
	default:
		w.manifest.Until = until
		return w.commit(ctx)
	}
}

// flush stores the file, and then the manifest that names it.
func (w *writer) flush(ctx context.Context, until uint64) error {
	after := uint64(0)
	if n := len(w.manifest.Files); n > 0 {
		after = w.manifest.Files[n-1].Until
	}
	f, content, err := w.file.end(after, until)
	if err != nil {
		return err
	}
	if err := w.target.Put(ctx, f.Name, content); err != nil {
		return err
	}
	w.file.reset()
	w.manifest.Files = append(slices.Clip(w.manifest.Files), f)
	w.manifest.Events += f.Events
	w.manifest.Until = until
	w.result.Files++
	return w.commit(ctx)
}

func (w *writer) commit(ctx context.Context) error {
	w.manifest.UpdatedAt = event.Time(w.config.Now())
	content, err := w.manifest.encode()
	if err != nil {
		return err
	}
	if err := w.target.Put(ctx, ManifestName, content); err != nil {
		return err
	}
	w.manifest.Checksum, err = w.manifest.sum()
	w.result.Manifest = w.manifest
	return err
}
