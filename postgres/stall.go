package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evident-go/evident/event"
)

// Stall says who holds the head back: the transaction that has announced the
// lowest floor and has not ended. To get rid of it, end its client, or call
// pg_terminate_backend with the PID, or ROLLBACK PREPARED with the name.
type Stall struct {
	// Floor is where the head stands until that transaction ends.
	Floor uint64
	// Waiting is how many positions above the floor may hold events that can be
	// seen already and wait behind it.
	Waiting uint64
	// PID is the process id of its server process; 0 for a prepared transaction.
	PID int
	// Prepared is the name of a prepared transaction (two-phase commit), which
	// has no server process and stays until somebody ends it; "" for all others.
	Prepared string
	// Role is whose transaction it is.
	Role string
	// Application is the application_name of its connection.
	Application string

	// What follows is shown to the role itself, to its members and to
	// members of pg_read_all_stats; others find it empty.

	// Client is the address of its client; "" for one on a Unix-domain socket.
	Client string
	// State is what it does, such as "active" or "idle in transaction".
	State string
	// Query is its last statement, as far as the server keeps it.
	Query string
	// Since is when the transaction began, or was prepared.
	Since time.Time
}

// Stall returns who holds the head back now, the zero value if nobody does. It
// is one round trip.
//
// A writer that has just begun holds the head back for a moment: it is a stall
// only if Since is long ago, or if it is reported again.
func (s *Store) Stall(ctx context.Context) (Stall, error) {
	if err := s.usable(ctx); err != nil {
		return Stall{}, err
	}
	scope, free := s.scope(ctx)
	defer free()
	var found Stall
	var since *time.Time
	err := s.pool.QueryRow(scope, s.sql(lowestFloor)).Scan(&found.Floor, &found.Waiting, &found.PID, &found.Prepared,
		&found.Role, &found.Application, &found.Client, &found.State, &found.Query, &since)
	if errors.Is(err, pgx.ErrNoRows) {
		return Stall{}, nil
	}
	if since != nil {
		found.Since = event.Time(*since)
	}
	return found, s.failure("stall", err)
}

// lowestFloor finds the lock that evident.head ends at. A prepared transaction
// is known by the lock that it holds on its own number. To whom the state is
// hidden, the query is too.
const lowestFloor = `
	SELECT f.floor, f.highest - f.floor AS waiting, coalesce(f.pid, 0), coalesce(p.gid, ''),
	       coalesce(p.owner, a.usename, '')::text, coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''),
	       coalesce(a.state, ''), CASE WHEN a.state IS NULL THEN '' ELSE coalesce(a.query, '') END, coalesce(p.prepared, a.xact_start)
	  FROM (SELECT h.highest, min(l.pid) AS pid, l.virtualtransaction,
	               coalesce(min(l.objid::bigint) FILTER (WHERE l.classid = 'evident.events_by_position'::regclass), 0) << 32
	               | min(l.objid::bigint) FILTER (WHERE l.classid = 'evident.position'::regclass) AS floor
	          FROM evident.head() AS h, pg_locks AS l
	         WHERE l.locktype = 'advisory' AND l.objsubid = 2
	           AND l.classid IN ('evident.position'::regclass, 'evident.events_by_position'::regclass)
	           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	         GROUP BY h.highest, l.virtualtransaction) AS f
	  LEFT JOIN pg_stat_activity AS a ON a.pid = f.pid
	  LEFT JOIN pg_prepared_xacts AS p ON f.pid IS NULL AND EXISTS (
	            SELECT FROM pg_locks AS o WHERE o.pid IS NULL AND o.transactionid = p.transaction AND o.virtualtransaction = f.virtualtransaction)
	 WHERE f.floor < f.highest
	 ORDER BY f.floor, coalesce(p.prepared, a.xact_start)
	 LIMIT 1`
