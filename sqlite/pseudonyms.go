package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/evident-go/evident/audit/privacy"
	"github.com/evident-go/evident/event"
)

// Pseudonyms returns the store's table of pseudonyms. It can be that of another
// file than the log's, so that the two have other readers and other backups:
// open a second store for it.
//
// A cut overwrites the person in the file, but the write-ahead log has them
// until its next checkpoint, and older versions of a page may be in free space
// until somebody runs VACUUM. Backups it does not reach at all.
func (s *Store) Pseudonyms() privacy.Pseudonyms { return pseudonyms{session: s} }

// pseudonyms implements [privacy.Pseudonyms].
type pseudonyms struct{ session session }

// TokenFor implements [privacy.Pseudonyms].
func (p pseudonyms) TokenFor(ctx context.Context, tenant event.TenantID, person string) (uuid.UUID, error) {
	token, err := p.TokenOf(ctx, tenant, person)
	if !errors.Is(err, privacy.ErrUnknown) {
		return token, err
	}
	err = p.session.write(ctx, "make pseudonym", func(q querier) error {
		if token, err = findToken(ctx, q, tenant, person); err != nil || token != uuid.Nil {
			return err // somebody else was faster
		}
		if token, err = privacy.NewToken(); err != nil {
			return err
		}
		_, err := q.ExecContext(ctx, "INSERT INTO pseudonyms (token, tenant_id, person, created_at, reason) VALUES (?, ?, ?, ?, '')",
			token[:], string(tenant), person, storedTime(p.session.clock()))
		return err
	})
	if err != nil {
		return uuid.Nil, err
	}
	return token, nil
}

// findToken returns a person's token, [uuid.Nil] if there is none.
func findToken(ctx context.Context, q querier, tenant event.TenantID, person string) (uuid.UUID, error) {
	var token stored
	err := q.QueryRowContext(ctx, "SELECT token FROM pseudonyms WHERE tenant_id = ? AND person = ?", string(tenant), person).Scan(&token)
	if errors.Is(err, sql.ErrNoRows) {
		return uuid.Nil, nil
	}
	return uuid.UUID(token), err
}

// TokenOf implements [privacy.Pseudonyms].
func (p pseudonyms) TokenOf(ctx context.Context, tenant event.TenantID, person string) (token uuid.UUID, err error) {
	if err := privacy.CheckPerson(tenant, person); err != nil {
		return uuid.Nil, err
	}
	err = p.session.read(ctx, "look up token", func(q querier) error {
		token, err = findToken(ctx, q, tenant, person)
		return err
	})
	if err == nil && token == uuid.Nil {
		err = fmt.Errorf("person: %w", privacy.ErrUnknown)
	}
	return token, err
}

// PersonOf implements [privacy.Pseudonyms].
func (p pseudonyms) PersonOf(ctx context.Context, tenant event.TenantID, token uuid.UUID) (string, error) {
	if err := privacy.CheckToken(tenant, token); err != nil {
		return "", err
	}
	var found privacy.Pseudonym
	err := p.session.read(ctx, "look up person", func(q querier) (err error) {
		found, err = scanPseudonym(q.QueryRowContext(ctx, "SELECT "+pseudonymColumns+" FROM pseudonyms WHERE token = ? AND tenant_id = ?", token[:], string(tenant)))
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", fmt.Errorf("token %s: %w", token, privacy.ErrUnknown)
	case err != nil:
		return "", err
	case found.State() == privacy.Cut:
		return "", &privacy.CutError{Token: token, CutAt: found.CutAt, Reason: found.Reason}
	default:
		return found.Person, nil
	}
}

// Cut implements [privacy.Pseudonyms].
func (p pseudonyms) Cut(ctx context.Context, tenant event.TenantID, person, reason string) (token uuid.UUID, err error) {
	if err := privacy.CheckCut(tenant, person, reason); err != nil {
		return uuid.Nil, err
	}
	err = p.session.write(ctx, "cut pseudonym", func(q querier) error {
		if token, err = findToken(ctx, q, tenant, person); err != nil || token == uuid.Nil {
			return err
		}
		if err := refuseHeld(ctx, q, tenant, token); err != nil {
			return err
		}
		return p.overwrite(ctx, q, token, reason)
	})
	if err != nil {
		return uuid.Nil, err
	}
	return token, nil
}

// overwrite removes the person from a row, and has SQLite fill with zeros what
// it would otherwise leave in the file.
func (p pseudonyms) overwrite(ctx context.Context, q querier, token uuid.UUID, reason string) error {
	if _, err := q.ExecContext(ctx, "PRAGMA secure_delete = ON"); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, "UPDATE pseudonyms SET person = NULL, cut_at = ?, reason = ? WHERE token = ?",
		storedTime(p.session.clock()), reason, token[:])
	// The connection is that of all writes, for which it would be slow.
	_, restored := q.ExecContext(context.WithoutCancel(ctx), "PRAGMA secure_delete = OFF")
	return errors.Join(err, restored)
}

// List implements [privacy.Pseudonyms]. No connection is held while the caller
// works on what was yielded.
func (p pseudonyms) List(ctx context.Context, query privacy.PseudonymQuery) iter.Seq2[privacy.Pseudonym, error] {
	return func(yield func(privacy.Pseudonym, error) bool) {
		if err := query.Validate(); err != nil {
			yield(privacy.Pseudonym{}, err)
			return
		}
		pages := privacy.Pages(query.Limit, pageEvents, func(last privacy.Pseudonym, limit int) ([]privacy.Pseudonym, error) {
			return p.page(ctx, query, cmp.Or(last.Token, query.After), limit)
		})
		pages(yield)
	}
}

const pseudonymColumns = "token, tenant_id, coalesce(person, ''), created_at, cut_at, reason"

func (p pseudonyms) page(ctx context.Context, query privacy.PseudonymQuery, after uuid.UUID, limit int) (page []privacy.Pseudonym, err error) {
	err = p.session.read(ctx, "list pseudonyms", func(q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT "+pseudonymColumns+` FROM pseudonyms
			WHERE token > ?1 AND (?2 = '' OR tenant_id = ?2) AND (?3 = 0 OR ?3 = iif(person IS NULL, 2, 1)) ORDER BY token LIMIT ?4`,
			after[:], string(query.TenantID), int64(query.State), limit)
		page, err = collect(rows, err, scanPseudonym)
		return err
	})
	return page, err
}

func scanPseudonym(row scanner) (privacy.Pseudonym, error) {
	var (
		p            privacy.Pseudonym
		token        stored
		tenant       string
		created, cut moment
	)
	err := row.Scan(&token, &tenant, &p.Person, &created, &cut, &p.Reason)
	p.Token, p.TenantID, p.CreatedAt, p.CutAt = uuid.UUID(token), event.TenantID(tenant), time.Time(created), time.Time(cut)
	return p, err
}
