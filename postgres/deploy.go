package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evident-go/evident/event"
	"github.com/evident-go/evident/projection"
)

// DeployInline makes the projections of config.Inline those that run in each
// append's own transaction, from now on and in every program: a [Store] that
// was opened with others can append no more, and has to be opened anew. One that
// is left out is not given events any more; its tables stay, until
// [Tx.DropTargets] drops them.
//
// A projection that is new, or has a new version, is first built beside what is
// deployed: it is reset, which creates its tables ([Table]), and given all events
// that there are, some hundred in a transaction. Meanwhile everybody appends, and
// another version of it is kept up to date and read as before. Each version must
// have tables of its own; a [View] is put before the new ones in the end. When
// it has caught up, and its indexes are made ([Index]), appends wait for a moment
// in which it is given the last few events and takes its place. The moment is
// bounded by [Config.InlinePause]; what is not done by then is tried again, for
// as long as ctx allows.
//
// What is deployed already, by name and version, is left as it is, so it may be
// called at each start. A deployment or a rebuild that was broken off goes on
// where it was, whoever calls it; several that run at once help each other. To
// begin one anew that was not finished, drop what it has made by
// [Tx.DropTargets]. How far each is says the table inline_builds.
//
// A handler that fails ends it, with its error; what is deployed has not changed.
// It needs the rights of [Migrate] and must come after it.
func DeployInline(ctx context.Context, config Config) error {
	return inDatabase(ctx, "deploy", config, func(ctx context.Context, s *Store) error {
		return deployment{Store: s}.run(ctx)
	})
}

// RebuildInline empties a projection of config.Inline that is deployed, and
// gives it all events again, in the same version and the same tables. Nobody has
// to stop for it: from its beginning until its end appends pass the projection
// over, also those of stores that are open, and what they store is given to it
// afterwards. So its readers see a read model that is empty at first and then
// grows; to spare them that, deploy a new version behind a [View].
//
// Appends wait twice for a moment, each bounded by [Config.InlinePause]. If it
// is broken off, appends go on passing the projection over; RebuildInline and
// [DeployInline] go on where it was.
//
// Errors: [event.ErrInvalid] for a name that config.Inline does not have, an
// [*InlineMismatchError] if config.Inline is not what is deployed, and those of
// DeployInline.
func RebuildInline(ctx context.Context, config Config, name string) error {
	return inDatabase(ctx, "rebuild", config, func(ctx context.Context, s *Store) error {
		d := deployment{Store: s, settled: true}
		if err := d.takeOut(ctx, name); err != nil {
			return err
		}
		return d.run(ctx)
	})
}

// inDatabase calls f with a store that is not opened, whose schema need not be
// what its programs have.
func inDatabase(ctx context.Context, op string, config Config, f func(ctx context.Context, s *Store) error) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("%s inline projections: %w", op, err)
	}
	s := newStore(config)
	pool, release, err := s.config.connect(ctx)
	if err != nil {
		return translate(op, s.config.Schema, err)
	}
	defer release()
	s.pool = pool
	s.life, s.end = context.WithCancelCause(context.WithoutCancel(ctx)) // a call that ctx ends says so
	defer s.end(nil)
	return s.failure(op, f(ctx, s))
}

// deployment is one run of DeployInline or RebuildInline.
type deployment struct {
	*Store

	settled bool // whether what is deployed must have the same names
}

// run builds what is missing, and makes it run.
func (d deployment) run(ctx context.Context) error {
	for {
		have, err := first[string](ctx, d.pool, d.sql(selectInline))
		if err != nil || have == d.inline.signature {
			return err
		}
		missing, err := d.missing(have)
		if err != nil {
			return err
		}
		for _, p := range missing {
			if err := d.build(ctx, p); err != nil {
				return err
			}
		}
		if done, err := d.moment(ctx, d.takeIn); done || err != nil {
			return err
		}
	}
}

// missing returns the projections that are not deployed, or are being rebuilt.
func (d deployment) missing(have string) (missing []projection.Projection, err error) {
	if _, same := d.inline.running(have); d.settled && !same {
		return nil, d.mismatch(have)
	}
	names := namesOf(have)
	for _, p := range d.inline.projections {
		if !slices.Contains(names, inlineName(p)) {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// takeOut lets appends pass a projection over from now on.
func (d deployment) takeOut(ctx context.Context, name string) error {
	i := slices.IndexFunc(d.inline.projections, func(p projection.Projection) bool { return p.Name() == name })
	if i < 0 {
		return &event.InvalidError{Field: "name", Value: name, Reason: "is none of Config.Inline"}
	}
	p := d.inline.projections[i]
	if c, ok := p.(projection.ResetChecker); ok {
		if err := c.CanReset(); err != nil {
			return err
		}
	}
	for {
		done, err := d.moment(ctx, func(ctx context.Context, t *Tx, have string) (bool, error) {
			return true, d.mark(ctx, t, p, have)
		})
		if done || err != nil {
			return err
		}
	}
}

// mark writes down that a projection is being rebuilt, from the beginning. If it
// is already, that goes on.
func (d deployment) mark(ctx context.Context, t *Tx, p projection.Projection, have string) error {
	if _, err := d.missing(have); err != nil {
		return err
	}
	names := namesOf(have)
	i := slices.Index(names, inlineName(p))
	if i < 0 {
		return nil
	}
	names[i] += rebuilding
	return d.write(ctx, t, strings.Join(names, ", "), inlineName(p))
}

// takeIn gives the projections that are missing the last events, and makes all
// of them run. If that takes too long it keeps what was done, and is not done.
func (d deployment) takeIn(ctx context.Context, t *Tx, have string) (done bool, err error) {
	missing, err := d.missing(have)
	if err != nil {
		return false, err
	}
	head, err := first[uint64](ctx, t.base, d.sql("SELECT coalesce(max(position), 0) FROM evident.events")) // nobody appends
	if err != nil {
		return false, err
	}
	soon, cancel := context.WithTimeout(ctx, d.config.InlinePause/2)
	defer cancel()
	for _, p := range missing {
		b, err := d.open(ctx, t, p)
		for err == nil && b.position < head && b.finished && soon.Err() == nil {
			err = b.advance(ctx, head, fewEvents)
		}
		if err != nil || b.position < head || !b.finished {
			return false, err
		}
	}
	for _, p := range missing {
		if fronted, ok := p.(projection.Fronted); ok {
			if err := fronted.GoLive(ctx, t); err != nil {
				return false, err
			}
		}
	}
	return true, d.write(ctx, t, d.inline.signature, append(namesOf(have), namesOf(d.inline.signature)...)...)
}

// write writes down what is deployed, and that nobody builds these any more.
func (d deployment) write(ctx context.Context, t *Tx, signature string, names ...string) error {
	_, err := t.base.Exec(ctx, d.sql("UPDATE evident.store SET inline = $1"), signature)
	if err == nil {
		_, err = t.base.Exec(ctx, d.sql("DELETE FROM evident.inline_builds WHERE concat(projection, ' v', version) = ANY ($1)"), names)
	}
	return err
}

// moment calls f in a transaction in which nobody appends, with what is
// deployed, and keeps what it did. That is done or not within
// [Config.InlinePause]; if not, others have as much time until it returns.
func (d deployment) moment(ctx context.Context, f func(ctx context.Context, t *Tx, have string) (bool, error)) (done bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, d.config.InlinePause)
	defer cancel()
	done, err = d.alone(bounded, f)
	late := bounded.Err() != nil || isCrossed(err) || isImpatient(err)
	if err != nil && !late || done && err == nil {
		return done, err
	}
	select {
	case <-time.After(d.config.InlinePause):
		return false, nil
	case <-ctx.Done():
		return false, errors.Join(ctx.Err(), err)
	}
}

// isImpatient reports whether a statement has waited too long for somebody.
func isImpatient(err error) bool {
	code, _ := codeOf(err)
	return code == codeLockTimeout
}

// alone is one attempt. It is over when ctx ends, whatever f is doing.
func (d deployment) alone(ctx context.Context, f func(ctx context.Context, t *Tx, have string) (bool, error)) (done bool, err error) {
	t, err := d.begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = t.Rollback(ctx) }() // after Commit it does nothing
	defer context.AfterFunc(ctx, t.abort)()
	have, err := d.lockInline(ctx, t)
	if err != nil {
		return false, err
	}
	if done, err = f(ctx, t, have); err != nil {
		return false, err
	}
	return done, t.Commit(ctx)
}

// lockInline waits for another deployment, and then for the appends that are on
// their way, lets no other begin before the transaction has ended, and returns
// what is deployed. Where appends wait, nothing in the transaction takes longer
// than it may: should this program vanish without a word, the server ends it.
func (d deployment) lockInline(ctx context.Context, t *Tx) (string, error) {
	pause := max(d.config.InlinePause.Milliseconds(), 2)
	for _, bound := range []struct {
		setting string
		millis  int64
	}{{"lock_timeout", pause / 2}, {"statement_timeout", 2 * pause}, {"idle_in_transaction_session_timeout", 2 * pause}} {
		if _, err := t.base.Exec(ctx, "SELECT set_config($1, $2, true)", bound.setting, strconv.FormatInt(bound.millis, 10)); err != nil {
			return "", err
		}
	}
	if err := d.lockBuilds(ctx, t); err != nil {
		return "", err
	}
	if _, err := t.base.Exec(ctx, d.sql("SELECT pg_advisory_xact_lock('evident.store'::regclass::oid::int, 0)")); err != nil {
		return "", err
	}
	return first[string](ctx, t.base, d.sql(selectInline+" FOR UPDATE"))
}

// lockBuilds keeps other deployments from their next step until the transaction
// has ended.
func (d deployment) lockBuilds(ctx context.Context, t *Tx) error {
	_, err := t.base.Exec(ctx, d.sql("SELECT pg_advisory_xact_lock('evident.store'::regclass::oid::int, 2)"))
	return err
}
