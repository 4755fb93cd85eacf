package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
)

// Right is something that a role may do with a store; see [Grant].
type Right uint8

const (
	// CanRead opens a store with [Config.Replica], and reads events, the mark, the
	// audit log and user activity in SQL.
	CanRead Right = iota + 1
	// CanAppend opens a store and appends. It includes CanRead.
	CanAppend
	// CanProject runs projections, and decides about them: it moves checkpoints,
	// parks events, takes leases, pauses and rebuilds, writes the audit log. It
	// includes CanAppend.
	CanProject
	// CanReset empties the audit log and user activity, for a rebuild.
	CanReset
	// CanSeeAllTenants passes the wall between tenants while no tenant is set; see
	// [Config.RowSecurity]. Without that wall everybody sees all tenants.
	CanSeeAllTenants
	// CanIdentify turns people into tokens and back: it reads and makes pseudonyms.
	CanIdentify
	// CanErase cuts pseudonyms, and places and releases legal holds. It includes
	// CanIdentify.
	CanErase
)

// includes returns r and the rights in it.
func (r Right) includes() []Right {
	switch r {
	case CanAppend:
		return []Right{CanRead, CanAppend}
	case CanProject:
		return []Right{CanRead, CanAppend, CanProject}
	case CanErase:
		return []Right{CanIdentify, CanErase}
	default:
		return []Right{r}
	}
}

// Grant gives an existing role these rights on the store, and takes away all
// others on it that it was granted before; without rights it gets none. No
// right is to change or remove an event or to change a table. Projections that
// make tables of their own need a schema where the role may do so.
//
// An application that does everything needs [CanProject] and
// [CanSeeAllTenants]; one that only serves tenants behind row-level security
// [CanAppend]; analysts [CanRead]. Who may know people, and who may cut them,
// is said by [CanIdentify] and [CanErase] alone; no other right includes them.
//
// It needs the rights of [Migrate], and has to be called again when Migrate has
// added tables. Errors: [event.ErrInvalid] for a bad configuration, a right
// that there is none of or a role that does not exist; [eventstore.ErrSchema]
// for a schema that was not migrated; and an [*Error], which is [ErrPermission]
// for a caller without the rights.
func Grant(ctx context.Context, config Config, role string, rights ...Right) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	given, err := withIncluded(rights)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	config = config.withDefaults()
	pool, release, err := config.connect(ctx)
	if err != nil {
		return translate("grant", config.Schema, err)
	}
	defer release()
	g := granting{schema: schema(config.Schema), role: role, rights: given}
	return translate("grant", config.Schema, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return g.run(ctx, tx) }))
}

func withIncluded(rights []Right) (all []Right, err error) {
	for _, r := range rights {
		if r < CanRead || r > CanErase {
			return nil, &event.InvalidError{Field: "right", Value: strconv.Itoa(int(r)), Reason: "must be one of the constants"}
		}
		all = append(all, r.includes()...)
	}
	return all, nil
}

// privilege is one that PostgreSQL knows, on one object.
type privilege struct {
	right  Right
	kind   string // TABLE, SEQUENCE or FUNCTION
	object string
	names  string // such as SELECT
}

// privileges are what rights consist of.
func privileges() []privilege {
	const change = "SELECT, INSERT, UPDATE, DELETE"
	return []privilege{
		{CanRead, "TABLE", "evident.migrations", "SELECT"},
		{CanRead, "TABLE", "evident.store", "SELECT"},
		{CanRead, "TABLE", "evident.events", "SELECT"},
		{CanRead, "TABLE", "evident.mark", "SELECT"},
		{CanRead, "TABLE", "evident.audit_log", "SELECT"},
		{CanRead, "TABLE", "evident.user_activity", "SELECT"},

		{CanAppend, "TABLE", "evident.events", "INSERT"},
		{CanAppend, "SEQUENCE", "evident.position", "SELECT"},
		{CanAppend, "SEQUENCE", "evident.position", "USAGE"},
		{CanAppend, "SEQUENCE", "evident.deployment", "SELECT"},
		{CanAppend, "FUNCTION", "evident.head", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.hold_inline", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.let_go", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.take", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.append", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.append_one", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.require_inline", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.refuse_inline", "EXECUTE"},
		{CanAppend, "FUNCTION", "evident.keep_mark", "EXECUTE"},
		{CanAppend, "TABLE", "evident.snapshots", change},

		{CanProject, "TABLE", "evident.checkpoints", change},
		{CanProject, "TABLE", "evident.dead_letter_sequences", change},
		{CanProject, "TABLE", "evident.dead_letters", change},
		{CanProject, "TABLE", "evident.discarded_letters", change},
		{CanProject, "TABLE", "evident.leases", change},
		{CanProject, "TABLE", "evident.projection_tables", change},
		{CanProject, "TABLE", "evident.projections", "SELECT, INSERT, UPDATE"},
		{CanProject, "TABLE", "evident.inline_builds", change},
		{CanProject, "TABLE", "evident.audit_log", "INSERT"},
		{CanProject, "TABLE", "evident.user_activity", "INSERT"},

		{CanReset, "FUNCTION", "evident.empty_records", "EXECUTE"},

		{CanSeeAllTenants, "TABLE", "evident.all_tenants", "SELECT"},

		{CanIdentify, "TABLE", "evident.pseudonyms", "SELECT, INSERT"},

		{CanErase, "TABLE", "evident.pseudonyms", "UPDATE"},
		{CanErase, "TABLE", "evident.legal_holds", "SELECT, INSERT, UPDATE"},
	}
}

// granting is one run of Grant.
type granting struct {
	schema schema
	role   string
	rights []Right
}

func (g granting) run(ctx context.Context, tx pgx.Tx) error {
	if err := g.check(ctx, tx); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, strings.Join(g.statements(), ";\n"))
	return err
}

// check finds out whether there is something to grant, and somebody to grant it to.
func (g granting) check(ctx context.Context, tx pgx.Tx) error {
	if err := requireVersion(ctx, tx, g.schema); err != nil {
		return err
	}
	exists, err := first[bool](ctx, tx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", g.role)
	if err == nil && !exists {
		err = &event.InvalidError{Field: "role", Value: g.role, Reason: "does not exist; CREATE ROLE makes it"}
	}
	return err
}

// statements takes everything away first.
func (g granting) statements() []string {
	role := pgx.Identifier{g.role}.Sanitize()
	var statements []string
	for _, kind := range []string{"TABLES", "SEQUENCES", "FUNCTIONS"} {
		statements = append(statements, fmt.Sprintf("REVOKE ALL ON ALL %s IN SCHEMA %s FROM %s", kind, g.schema, role))
	}
	statements = append(statements, fmt.Sprintf("REVOKE ALL ON SCHEMA %s FROM %s", g.schema, role))
	if len(g.rights) > 0 {
		statements = append(statements, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", g.schema, role))
	}
	for _, p := range privileges() {
		if slices.Contains(g.rights, p.right) {
			statements = append(statements, fmt.Sprintf("GRANT %s ON %s %s TO %s", p.names, p.kind, g.schema.sql(p.object), role))
		}
	}
	return statements
}

// lacking names the first privilege that the store needs and its role does not
// have, or "".
func (s *Store) lacking(ctx context.Context) (string, error) {
	var kinds, objects, names []string
	for _, p := range privileges() {
		if s.needs(p) {
			kinds, objects, names = append(kinds, p.kind), append(objects, s.schema.sql(p.object)), append(names, p.names)
		}
	}
	return first[string](ctx, s.pool, `
		SELECT coalesce((
			SELECT concat_ws(' ', needed.name, 'on', nullif(lower(needed.kind), 'table'), needed.object)
			  FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS needed (kind, object, name, n)
			 WHERE NOT CASE needed.kind
			           WHEN 'TABLE'    THEN has_table_privilege(needed.object, needed.name)
			           WHEN 'SEQUENCE' THEN has_sequence_privilege(needed.object, needed.name)
			           ELSE                 has_function_privilege(needed.object::regproc, needed.name) END
			 ORDER BY needed.n LIMIT 1), '')`, kinds, objects, names)
}

// needs reports whether the store cannot be opened without a privilege.
func (s *Store) needs(p privilege) bool {
	switch p.object {
	case "evident.keep_mark":
		return s.config.KeepMark
	case "evident.audit_log", "evident.user_activity", "evident.snapshots":
		return false // whoever does not use them need not be allowed to
	default:
		return p.right == CanRead || p.right == CanAppend && !s.config.Replica
	}
}
