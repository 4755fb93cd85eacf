-- Announces the floor of this transaction: the sequence's value before its first
-- position. Locks carry it, which are shared, so that nobody ever waits for them:
-- one has the low half of the value, and another, which is taken first, the high
-- half if there is one. Once is enough, which a setting of the transaction
-- remembers; a rollback to a savepoint takes back locks and setting alike. The
-- setting has the sequence's number, since a schema's name may be one that
-- PostgreSQL keeps for itself.
CREATE FUNCTION evident.announce() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    note  text   := 'announced_floor.of_' || 'evident.position'::regclass::oid;
    value bigint := coalesce(pg_sequence_last_value('evident.position'::regclass), 0);
BEGIN
    IF current_setting(note, true) = 'yes' THEN
        RETURN;
    END IF;
    IF value >> 32 > 0 THEN
        PERFORM pg_advisory_xact_lock_shared('evident.events_by_position'::regclass::oid::int, (value >> 32)::int);
    END IF;
    PERFORM pg_advisory_xact_lock_shared('evident.position'::regclass::oid::int, ((value << 32) >> 32)::int);
    PERFORM set_config(note, 'yes', true);
END $$;

-- Gives the lock of evident.take back after an error, which a lock of the
-- session outlasts. It may be held although the call that asked for it has
-- failed: a cancellation that comes in the moment in which a waiter is given the
-- lock does not take it back.
CREATE FUNCTION evident.let_go() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM CASE mode WHEN 'ExclusiveLock' THEN pg_advisory_unlock('evident.store'::regclass::oid::int, 1)
                      ELSE pg_advisory_unlock_shared('evident.store'::regclass::oid::int, 1) END
       FROM pg_locks
      WHERE pid = pg_backend_pid() AND granted AND locktype = 'advisory' AND objsubid = 2 AND objid = 1
        AND classid = 'evident.store'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
END $$;

-- Announces the floor and takes so many positions, one behind the other, and
-- returns the first.
--
-- Nobody else takes a position or reads a floor in between, so that a floor
-- never stands between two events of one append, and readers see it whole or
-- not at all. That lock is the session's and is given back at once, long
-- before the commit; who takes one position shares it. Nothing that can wait
-- happens under it.
CREATE FUNCTION evident.take(n int) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM pg_advisory_lock('evident.store'::regclass::oid::int, 1);
    PERFORM evident.announce();
    SELECT min(p.position) INTO taken FROM (SELECT nextval('evident.position') AS position FROM generate_series(1, n)) AS p;
    PERFORM pg_advisory_unlock('evident.store'::regclass::oid::int, 1);
    RETURN taken;
EXCEPTION WHEN query_canceled OR OTHERS THEN
    PERFORM evident.let_go();
    RAISE;
END $$;

-- Refuses an append by a program that has other inline projections than the
-- store: their read models would miss it.
CREATE FUNCTION evident.refuse_inline(program text, store text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the store has inline projections [%], this program [%]: open it anew', store, program USING ERRCODE = 'EV001';
END $$;

-- A transaction with one snapshot for all of its statements may have taken it
-- before a deployment, and would see what was deployed then. This ends it with a
-- serialization failure; others it costs nothing. In the owner's name, since to
-- lock a row takes the right to change it.
CREATE FUNCTION evident.hold_inline() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM evident.store FOR SHARE;
END $$;

-- The same for an import. Until the transaction ends, no projection is deployed.
CREATE FUNCTION evident.require_inline(program text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    deployed text;
BEGIN
    PERFORM pg_advisory_xact_lock_shared('evident.store'::regclass::oid::int, 0);
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM evident.hold_inline();
    END IF;
    SELECT s.inline INTO deployed FROM evident.store s;
    IF deployed <> program THEN
        PERFORM evident.refuse_inline(program, deployed);
    END IF;
END $$;

-- Stores appends, each with expectations of its own, in one call: those whose
-- expectations fail store nothing and take no position, and the others do not
-- care. A target is a stream of an append; no stream may be named by two.
--
-- One entry for each target: the append that it belongs to, its stream, what is
-- expected of it (a version, -1 for anything, -2 that it exists), and how many
-- events it gets. One entry for each event: the number of its target, its place
-- in there, and itself.
--
-- The answer has for each target the version before and the verdict on its
-- append: 1 accepted, 0 refused, 2 not judged, because a stream of it is held by
-- another transaction and patient is false. The events of those that were
-- accepted have positions one behind the other, in their order, from the first.
--
-- A plan made for any arrays is as good as one made for these, and is not made
-- again at each call: twice as fast for small ones.
CREATE FUNCTION evident.append(
    program text, at timestamptz, patient boolean,
    t_append int[], t_tenant text[], t_type text[], t_id uuid[], t_expected bigint[], t_count int[],
    e_target int[], e_place int[], e_id uuid[], e_type text[], e_schema bigint[], e_actor text[],
    e_correlation uuid[], e_causation uuid[], e_occurred timestamptz[], e_metadata json[], e_payload bytea[],
    OUT versions bigint[], OUT verdicts bigint[], OUT first_position bigint, OUT recorded timestamptz)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    deployed text;
    free     boolean[];
    starts   bigint[];
    total    bigint;
BEGIN
    -- Racers for a stream wait here, in one order for all. The next statement has
    -- a later snapshot, so it sees what whoever held the lock has committed.
    PERFORM pg_advisory_xact_lock_shared('evident.store'::regclass::oid::int, 0);
    IF patient THEN
        PERFORM pg_advisory_xact_lock('evident.events'::regclass::oid::int, k.key)
           FROM (SELECT DISTINCT uuid_hash(id) AS key FROM unnest(t_id) AS id ORDER BY 1) AS k;
        free := array_fill(true, ARRAY[cardinality(t_id)]);
    ELSE
        SELECT array_agg(pg_try_advisory_xact_lock('evident.events'::regclass::oid::int, uuid_hash(t.id)) ORDER BY t.n) INTO free
          FROM unnest(t_id) WITH ORDINALITY AS t(id, n);
    END IF;

    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM evident.hold_inline();
    END IF;
    SELECT array_agg(j.version ORDER BY j.n), array_agg(j.verdict ORDER BY j.n), array_agg(j.until - j.own ORDER BY j.n), max(j.until),
           (SELECT s.inline FROM evident.store s)
      INTO versions, verdicts, starts, total, deployed
      FROM (SELECT w.n, w.version, w.verdict, CASE w.verdict WHEN 1 THEN w.count ELSE 0 END AS own,
                   sum(CASE w.verdict WHEN 1 THEN w.count ELSE 0 END) OVER (ORDER BY w.n) AS until
              FROM (SELECT f.n, f.version, f.count,
                           CASE WHEN NOT bool_and(f.free) OVER (PARTITION BY f.append) THEN 2
                                WHEN bool_and(CASE f.expected WHEN -1 THEN true WHEN -2 THEN f.version > 0 ELSE f.version = f.expected END)
                                     OVER (PARTITION BY f.append) THEN 1
                                ELSE 0 END AS verdict
                      FROM (SELECT t.n, t.append, t.expected, t.count, t.free,
                                   coalesce((SELECT e.aggregate_version FROM evident.events e
                                              WHERE e.aggregate_id = t.id AND e.aggregate_type = t.type AND e.tenant_id = t.tenant
                                              ORDER BY e.aggregate_version DESC LIMIT 1), 0) AS version
                              FROM unnest(t_append, t_tenant, t_type, t_id, t_expected, t_count, free)
                                   WITH ORDINALITY AS t(append, tenant, type, id, expected, count, free, n)
                            OFFSET 0) AS f) AS w) AS j;
    IF deployed <> program THEN
        PERFORM evident.refuse_inline(program, deployed);
    END IF;
    recorded := coalesce(at, clock_timestamp());
    IF total = 0 THEN
        RETURN;
    END IF;

    first_position := evident.take(total::int);
    INSERT INTO evident.events (position, aggregate_version, occurred_at, recorded_at, schema_version, event_id, aggregate_id,
           correlation_id, causation_id, event_type, aggregate_type, tenant_id, actor_id, metadata, payload)
    SELECT first_position + starts[e.target] + e.place - 1, versions[e.target] + e.place, e.occurred, recorded, e.schema, e.id, t_id[e.target],
           e.correlation, e.causation, e.type, t_type[e.target], t_tenant[e.target], e.actor, e.metadata, e.payload
      FROM unnest(e_target, e_place, e_id, e_type, e_schema, e_actor, e_correlation, e_causation, e_occurred, e_metadata, e_payload)
           AS e(target, place, id, type, schema, actor, correlation, causation, occurred, metadata, payload)
     WHERE verdicts[e.target] = 1;
END $$;

-- Stores one event, in a transaction of its own: append without arrays, which
-- take longer than the rest. The answer is the version before, and if the event
-- was stored, its position and the time in microseconds since 1970.
CREATE FUNCTION evident.append_one(
    program text, at timestamptz, tenant text, type text, id uuid, expected bigint,
    e_id uuid, e_type text, e_schema bigint, e_actor text, e_correlation uuid, e_causation uuid,
    e_occurred timestamptz, e_metadata json, e_payload bytea)
RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
    deployed text;
    version  bigint;
    taken    record;
    recorded timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock_shared('evident.store'::regclass::oid::int, 0),
            pg_advisory_xact_lock('evident.events'::regclass::oid::int, uuid_hash(id));
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM evident.hold_inline();
    END IF;
    SELECT (SELECT e.aggregate_version FROM evident.events e
             WHERE e.aggregate_id = id AND e.aggregate_type = type AND e.tenant_id = tenant
             ORDER BY e.aggregate_version DESC LIMIT 1), s.inline
      INTO version, deployed FROM evident.store s;
    version := coalesce(version, 0);
    IF deployed <> program THEN
        PERFORM evident.refuse_inline(program, deployed);
    END IF;
    IF expected >= 0 AND expected <> version OR expected = -2 AND version = 0 THEN
        RETURN ARRAY[version];
    END IF;

    -- As evident.announce and evident.take do, which would have to remember it.
    -- Others may take positions between the two halves: then the floor is lower.
    BEGIN
        SELECT pg_advisory_lock_shared('evident.store'::regclass::oid::int, 1),
               CASE WHEN pg_sequence_last_value('evident.position'::regclass) >> 32 > 0
                    THEN pg_advisory_xact_lock_shared('evident.events_by_position'::regclass::oid::int,
                             (pg_sequence_last_value('evident.position'::regclass) >> 32)::int) END,
               pg_advisory_xact_lock_shared('evident.position'::regclass::oid::int,
                   ((coalesce(pg_sequence_last_value('evident.position'::regclass), 0) << 32) >> 32)::int),
               nextval('evident.position') AS position,
               pg_advisory_unlock_shared('evident.store'::regclass::oid::int, 1)
          INTO taken;
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        PERFORM evident.let_go();
        RAISE;
    END;
    recorded := coalesce(at, clock_timestamp());
    INSERT INTO evident.events (position, aggregate_version, occurred_at, recorded_at, schema_version, event_id, aggregate_id,
           correlation_id, causation_id, event_type, aggregate_type, tenant_id, actor_id, metadata, payload)
    VALUES (taken.position, version + 1, e_occurred, recorded, e_schema, e_id, id,
           e_correlation, e_causation, e_type, type, tenant, e_actor, e_metadata, e_payload);
    RETURN ARRAY[version, taken.position, (extract(epoch FROM recorded) * 1000000)::bigint];
END $$;
