-- The store's own row: which history this is, and which projections run in
-- each append's transaction, as "titles v1, totals v3".
CREATE TABLE evident.store (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    store_id uuid    NOT NULL DEFAULT gen_random_uuid(),
    inline   text    NOT NULL DEFAULT ''
);

INSERT INTO evident.store DEFAULT VALUES;

-- Is 1 until somebody deploys such projections, or tries to. Until then nobody
-- has to look what is deployed: to read a sequence takes no query and no snapshot,
-- and where it cannot be read, it is not 1. It is called in the transaction that
-- changes the row, so what is on disk of the change is there of the call.
CREATE SEQUENCE evident.deployment AS bigint;

SELECT nextval('evident.deployment');

CREATE FUNCTION evident.count_deployment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('evident.deployment');
    RETURN NULL;
END $$;

CREATE TRIGGER deployments_are_counted AFTER INSERT OR UPDATE OF inline ON evident.store
    FOR EACH ROW EXECUTE FUNCTION evident.count_deployment();

-- Also where the row comes from another server, which sends no sequences.
ALTER TABLE evident.store ENABLE ALWAYS TRIGGER deployments_are_counted;

-- Positions. CACHE 1 is part of the proof that no reader skips an event (see
-- evident.head), and so is that nobody calls nextval or setval but the functions of this
-- schema, and a renewal of the store, under the lock of evident.take.
CREATE SEQUENCE evident.position AS bigint CACHE 1 NO CYCLE;

-- One row for each event, in the one order of all events. Text compares byte by
-- byte. An absent tenant or actor is '', an absent id or metadata NULL. The
-- payload is the exact bytes that its codec wrote.
CREATE TABLE evident.events (
    position          bigint      NOT NULL,
    aggregate_version bigint      NOT NULL,
    occurred_at       timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL,
    schema_version    bigint      NOT NULL,
    event_id          uuid        NOT NULL,
    aggregate_id      uuid        NOT NULL,
    correlation_id    uuid,
    causation_id      uuid,
    event_type        text COLLATE "C" NOT NULL,
    aggregate_type    text COLLATE "C" NOT NULL,
    tenant_id         text COLLATE "C" NOT NULL,
    actor_id          text COLLATE "C" NOT NULL,
    metadata          json,
    payload           bytea       NOT NULL,
    CONSTRAINT events_by_position PRIMARY KEY (position)
) WITH (
    -- Plans are kept by connections. One made when statistics say that the table
    -- is tiny would read all of it, and stay when it is large; without
    -- statistics the indexes are used from the first event on.
    autovacuum_analyze_threshold = 10000, autovacuum_vacuum_insert_threshold = 10000
);

-- One event for each version of a stream; also how a stream is read and how its
-- last version is found.
CREATE UNIQUE INDEX events_by_stream ON evident.events (aggregate_id, aggregate_type, tenant_id, aggregate_version);

-- An event is stored once, however often it is sent.
CREATE UNIQUE INDEX events_by_id ON evident.events (event_id);

-- Everything that followed from one action.
CREATE INDEX events_by_correlation ON evident.events (correlation_id) WHERE correlation_id IS NOT NULL;

-- A tenant's reads must not cost what all tenants' reads do. Events of no tenant
-- are not in it, so whoever has no tenants pays nothing.
CREATE INDEX events_by_tenant ON evident.events (tenant_id, position) WHERE tenant_id <> '';

-- There is no index on actor_id and none on event_type, on purpose: what an
-- actor did is asked of the audit log, which has its own, and projections read
-- in the order of positions.

-- History is not edited.
CREATE FUNCTION evident.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_are_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON evident.events
    FOR EACH STATEMENT EXECUTE FUNCTION evident.refuse_change();

-- The head: the highest position such that nothing can appear at or below it
-- any more. Beside it, the highest position that can be seen; what is between
-- them waits for a writer.
--
-- A writer announces a floor before it takes its first position: a lock, held
-- until after its commit, that carries the sequence's value at that time. So
-- whoever still can appear stands above the lowest floor. The first statement
-- comes before the second: an event at or below the head had its position by
-- then, so its writer had announced its floor, and if that floor is not found,
-- the writer has ended. Events up to the head must be read by a later statement
-- of another snapshot, never inside this call.
--
-- It starts from the highest position that can be seen, not from the sequence:
-- after a crash a sequence may fall back to what was on disk, and hand out anew
-- what only transactions had that were undone.
CREATE FUNCTION evident.head(OUT head bigint, OUT highest bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT coalesce(max(position), 0) INTO highest FROM evident.events;
    SELECT least(highest, min(floor)) INTO head
      FROM (SELECT coalesce(min(objid::bigint) FILTER (WHERE classid = 'evident.events_by_position'::regclass), 0) << 32
                   | min(objid::bigint) FILTER (WHERE classid = 'evident.position'::regclass) AS floor
              FROM pg_locks
             WHERE locktype = 'advisory' AND objsubid = 2
               AND classid IN ('evident.position'::regclass, 'evident.events_by_position'::regclass)
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             GROUP BY virtualtransaction) AS floors;
END $$;
