-- Announces the floor of this transaction: the sequence's value before its first
-- position. Locks carry it, which are shared, so that nobody ever waits for them:
-- one has the low half of the value, and another, which is taken first, the high
-- half if there is one. Once is enough, which a setting of the transaction
-- remembers; a rollback to a savepoint takes back locks and setting alike. The
-- setting has the sequence's number, since a schema's name may be one that
-- PostgreSQL keeps for itself.
--
-- Here and below an assignment calls a function by itself. PERFORM would make
-- a query of it, which takes longer than the function.
CREATE FUNCTION evident.announce() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    note  text   := 'announced_floor.of_' || 'evident.position'::regclass::oid;
    value bigint := coalesce(pg_sequence_last_value('evident.position'::regclass), 0);
    done  boolean;
BEGIN
    IF current_setting(note, true) = 'yes' THEN
        RETURN;
    END IF;
    IF value >> 32 > 0 THEN
        done := pg_advisory_xact_lock_shared('evident.events_by_position'::regclass::oid::int, (value >> 32)::int) IS NULL;
    END IF;
    done := pg_advisory_xact_lock_shared('evident.position'::regclass::oid::int, ((value << 32) >> 32)::int) IS NULL;
    done := set_config(note, 'yes', true) IS NULL;
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
-- returns the first. In the owner's name: to call nextval for each takes as long
-- as a twentieth of its row, and the right to set a sequence is a right to set it
-- back.
--
-- Nobody else takes a position or reads a floor in between, so that a floor
-- never stands between two events of one append, and readers see it whole or
-- not at all. That lock is the session's and is given back at once, long
-- before the commit; who takes one position shares it. Nothing that can wait
-- happens under it.
CREATE FUNCTION evident.take(n int) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken bigint;
    done  boolean;
BEGIN
    done := pg_advisory_lock('evident.store'::regclass::oid::int, 1) IS NULL;
    PERFORM evident.announce();
    taken := nextval('evident.position');
    IF n > 1 THEN
        taken := setval('evident.position', taken + n - 1) - (n - 1);
    END IF;
    done := pg_advisory_unlock('evident.store'::regclass::oid::int, 1);
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

-- Refuses a program that has other inline projections than the store, and lets
-- none be deployed until the transaction has ended.
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
-- One entry for each target: the append that it belongs to, its stream, and what
-- is expected of it (a version, -1 for anything, -2 that it exists). One entry
-- for each event: the number of its target, its place in there, and itself.
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
    t_append int[], t_tenant text[], t_type text[], t_id uuid[], t_expected bigint[],
    e_target int[], e_place int[], e_id uuid[], e_type text[], e_schema bigint[], e_actor text[],
    e_correlation uuid[], e_causation uuid[], e_occurred timestamptz[], e_metadata json[], e_payload bytea[],
    OUT versions bigint[], OUT verdicts bigint[], OUT first_position bigint, OUT recorded timestamptz)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    free     boolean[]; -- of each target: no other transaction holds its stream
    fits     boolean[]; -- of each target: its stream is as expected
    accepted int[];     -- the numbers of the events to store
    done     boolean;
BEGIN
    done := pg_advisory_xact_lock_shared('evident.store'::regclass::oid::int, 0) IS NULL;
    IF program <> '' OR pg_sequence_last_value('evident.deployment'::regclass) IS DISTINCT FROM 1 THEN
        PERFORM evident.require_inline(program);
    END IF;

    -- Racers for a stream wait here, in one order for all. The next statement has
    -- a later snapshot, so it sees what whoever held the lock has committed.
    IF patient THEN
        PERFORM pg_advisory_xact_lock('evident.events'::regclass::oid::int, k.key)
           FROM (SELECT DISTINCT uuid_hash(id) AS key FROM unnest(t_id) AS id ORDER BY 1) AS k;
        free := array_fill(true, ARRAY[cardinality(t_id)]);
    ELSE
        free := ARRAY(SELECT pg_try_advisory_xact_lock('evident.events'::regclass::oid::int, uuid_hash(id)) FROM unnest(t_id) AS id);
    END IF;

    SELECT array_agg(f.version), array_agg(CASE f.expected WHEN -1 THEN true WHEN -2 THEN f.version > 0 ELSE f.version = f.expected END)
      INTO versions, fits
      FROM (SELECT t.expected,
                   coalesce((SELECT e.aggregate_version FROM evident.events e
                              WHERE e.aggregate_id = t.id AND e.aggregate_type = t.type AND e.tenant_id = t.tenant
                              ORDER BY e.aggregate_version DESC LIMIT 1), 0) AS version
              FROM unnest(t_tenant, t_type, t_id, t_expected) AS t(tenant, type, id, expected)
            OFFSET 0) AS f;
    IF false = ANY (free) OR false = ANY (fits) THEN
        verdicts := ARRAY(SELECT CASE WHEN NOT bool_and(free[t.n]) OVER own THEN 2 WHEN bool_and(fits[t.n]) OVER own THEN 1 ELSE 0 END
                            FROM unnest(t_append) WITH ORDINALITY AS t(append, n) WINDOW own AS (PARTITION BY t.append) ORDER BY t.n);
    ELSE
        verdicts := array_fill(1::bigint, ARRAY[cardinality(t_id)]);
    END IF;
    recorded := coalesce(at, clock_timestamp());
    accepted := ARRAY(SELECT n FROM generate_series(1, cardinality(e_id)) AS n WHERE verdicts[e_target[n]] = 1);
    IF cardinality(accepted) = 0 THEN
        RETURN;
    END IF;

    first_position := evident.take(cardinality(accepted));
    INSERT INTO evident.events (position, aggregate_version, occurred_at, recorded_at, schema_version, event_id, aggregate_id,
           correlation_id, causation_id, event_type, aggregate_type, tenant_id, actor_id, metadata, payload)
    SELECT first_position + a.place - 1, versions[e_target[a.n]] + e_place[a.n], e_occurred[a.n], recorded, e_schema[a.n], e_id[a.n], t_id[e_target[a.n]],
           e_correlation[a.n], e_causation[a.n], e_type[a.n], t_type[e_target[a.n]], t_tenant[e_target[a.n]], e_actor[a.n], e_metadata[a.n], e_payload[a.n]
      FROM unnest(accepted) WITH ORDINALITY AS a(n, place);
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
    version  bigint;
    floor    bigint;
    taken    bigint;
    recorded timestamptz;
    done     boolean;
BEGIN
    done := pg_advisory_xact_lock_shared('evident.store'::regclass::oid::int, 0) IS NULL;
    IF program <> '' OR pg_sequence_last_value('evident.deployment'::regclass) IS DISTINCT FROM 1 THEN
        PERFORM evident.require_inline(program);
    END IF;
    done := pg_advisory_xact_lock('evident.events'::regclass::oid::int, uuid_hash(id)) IS NULL;
    SELECT e.aggregate_version INTO version FROM evident.events e
     WHERE e.aggregate_id = id AND e.aggregate_type = type AND e.tenant_id = tenant
     ORDER BY e.aggregate_version DESC LIMIT 1;
    version := coalesce(version, 0);
    IF expected >= 0 AND expected <> version OR expected = -2 AND version = 0 THEN
        RETURN ARRAY[version];
    END IF;

    -- As evident.announce and evident.take do, which would have to remember it.
    -- Others may take positions between the two halves: then the floor is lower.
    BEGIN
        done := pg_advisory_lock_shared('evident.store'::regclass::oid::int, 1) IS NULL;
        floor := coalesce(pg_sequence_last_value('evident.position'::regclass), 0);
        IF floor >> 32 > 0 THEN
            done := pg_advisory_xact_lock_shared('evident.events_by_position'::regclass::oid::int, (floor >> 32)::int) IS NULL;
        END IF;
        done := pg_advisory_xact_lock_shared('evident.position'::regclass::oid::int, ((floor << 32) >> 32)::int) IS NULL;
        taken := nextval('evident.position');
        done := pg_advisory_unlock_shared('evident.store'::regclass::oid::int, 1);
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        PERFORM evident.let_go();
        RAISE;
    END;
    recorded := coalesce(at, clock_timestamp());
    INSERT INTO evident.events (position, aggregate_version, occurred_at, recorded_at, schema_version, event_id, aggregate_id,
           correlation_id, causation_id, event_type, aggregate_type, tenant_id, actor_id, metadata, payload)
    VALUES (taken, version + 1, e_occurred, recorded, e_schema, e_id, id,
           e_correlation, e_causation, e_type, type, tenant, e_actor, e_metadata, e_payload);
    RETURN ARRAY[version, taken, (extract(epoch FROM recorded) * 1000000)::bigint];
END $$;
