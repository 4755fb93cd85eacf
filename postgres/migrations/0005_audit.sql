-- The audit log: one row for each event, built by a projection and rebuilt by
-- replay. Text compares byte by byte. What is absent is '', an absent id NULL.
-- Metadata and reduced are NULL if empty. The last four columns are the event
-- that a record is derived from, NULL if it is derived from none; its id and
-- position are the record's own.
CREATE TABLE evident.audit_log (
    position          bigint      NOT NULL,
    id                uuid        NOT NULL,
    tenant_id         text COLLATE "C" NOT NULL,
    occurred_at       timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL,
    actor_id          text COLLATE "C" NOT NULL,
    on_behalf_of      text COLLATE "C" NOT NULL,
    owner_id          text COLLATE "C" NOT NULL,
    action            text COLLATE "C" NOT NULL,
    entity_type       text COLLATE "C" NOT NULL,
    entity_id         text COLLATE "C" NOT NULL,
    entity_version    bigint      NOT NULL,
    outcome           text COLLATE "C" NOT NULL,
    reason            text COLLATE "C" NOT NULL,
    purpose           text COLLATE "C" NOT NULL,
    description       text COLLATE "C" NOT NULL,
    request_id        text COLLATE "C" NOT NULL,
    traceparent       text COLLATE "C" NOT NULL,
    source_address    text COLLATE "C" NOT NULL,
    user_agent        text COLLATE "C" NOT NULL,
    correlation_id    uuid,
    causation_id      uuid,
    metadata          json,
    reduced           json,
    event_type        text COLLATE "C",
    aggregate_type    text COLLATE "C",
    aggregate_id      uuid,
    aggregate_version bigint,
    occurred_on       date        NOT NULL GENERATED ALWAYS AS ((occurred_at AT TIME ZONE 'UTC')::date) STORED,
    CONSTRAINT audit_log_by_position PRIMARY KEY (position)
);

-- A query looks for the positions of its page first, in one index alone, and
-- then for their rows. So each question has its index: what is asked for, then
-- the position, by which answers are ordered. What only few records have is
-- indexed for those few.
CREATE UNIQUE INDEX audit_log_by_id ON evident.audit_log (id);
CREATE INDEX audit_log_by_entity ON evident.audit_log (entity_id, position);
CREATE INDEX audit_log_by_entity_type ON evident.audit_log (entity_type, position);
CREATE INDEX audit_log_by_event_type ON evident.audit_log (event_type, position) WHERE event_type IS NOT NULL;
CREATE INDEX audit_log_by_correlation ON evident.audit_log (correlation_id, position) WHERE correlation_id IS NOT NULL;
CREATE INDEX audit_log_by_owner ON evident.audit_log (owner_id, position) WHERE owner_id <> '';
CREATE INDEX audit_log_by_behalf ON evident.audit_log (on_behalf_of, position) WHERE on_behalf_of <> '';
CREATE INDEX audit_log_by_outcome ON evident.audit_log (outcome, position, occurred_at) WHERE outcome <> 'success';

-- With the time behind the position, whoever asks for an actor, an action or an
-- outcome within a time passes over the others without a look at their rows.
CREATE INDEX audit_log_by_actor ON evident.audit_log (actor_id, position, occurred_at);
CREATE INDEX audit_log_by_action ON evident.audit_log (action, position, occurred_at);

-- Times are claimed, so they say nothing of the position. A range of them is
-- looked for day by day, the last records of each, instead of passing over all
-- that is before or after it.
CREATE INDEX audit_log_by_day ON evident.audit_log (occurred_on, position, occurred_at);

-- Within a tenant. Frequent values of which one tenant has none would need a look
-- at all records of the one or the other otherwise: what every tenant has
-- (actors of the system, actions, denials) is indexed for each, and costs
-- nothing where there are no tenants. A day has the types of its entities with
-- it: of a large tenant that is thousands of records, few of which are wanted.
CREATE INDEX audit_log_by_tenant ON evident.audit_log (tenant_id, position) WHERE tenant_id <> '';
CREATE INDEX audit_log_by_tenant_actor ON evident.audit_log (tenant_id, actor_id, position, occurred_at) WHERE tenant_id <> '';
CREATE INDEX audit_log_by_tenant_action ON evident.audit_log (tenant_id, action, position, occurred_at) WHERE tenant_id <> '';
CREATE INDEX audit_log_by_tenant_day ON evident.audit_log (tenant_id, occurred_on, position, occurred_at) INCLUDE (entity_type) WHERE tenant_id <> '';
CREATE INDEX audit_log_by_tenant_outcome ON evident.audit_log (tenant_id, outcome, position, occurred_at) WHERE tenant_id <> '' AND outcome <> 'success';

CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON evident.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION evident.refuse_change();

-- The feeds of all actors, built, kept and guarded in the same way. Whoever was
-- not named is 'anonymous'.
CREATE TABLE evident.user_activity (
    position       bigint      NOT NULL,
    event_id       uuid        NOT NULL,
    event_type     text COLLATE "C" NOT NULL,
    action         text COLLATE "C" NOT NULL,
    entity_type    text COLLATE "C" NOT NULL,
    entity_id      text COLLATE "C" NOT NULL,
    entity_version bigint      NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    actor_id       text COLLATE "C" NOT NULL,
    correlation_id uuid,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    CONSTRAINT user_activity_by_position PRIMARY KEY (position)
);

-- The second answers who was active since a time without a look at the table,
-- the third what somebody did for one tenant.
CREATE INDEX user_activity_by_actor ON evident.user_activity (actor_id, position);
CREATE INDEX user_activity_by_time ON evident.user_activity (occurred_at, tenant_id, actor_id, position);
CREATE INDEX user_activity_by_tenant ON evident.user_activity (tenant_id, actor_id, position) WHERE tenant_id <> '';

CREATE TRIGGER user_activity_is_not_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON evident.user_activity
    FOR EACH STATEMENT EXECUTE FUNCTION evident.refuse_change();

-- Empties one of the two, for a rebuild. It runs with the rights of whoever
-- made the schema, so the role that fills the tables needs no right to change
-- them, and the right to reset can be given or withheld by itself:
--     GRANT EXECUTE ON FUNCTION evident.empty_records(text) TO …;
-- Nobody ever sees a table without its guard: that is off only between two
-- commands of a transaction that has the table locked.
CREATE FUNCTION evident.empty_records(records text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CASE records
    WHEN 'audit_log' THEN
        ALTER TABLE evident.audit_log DISABLE TRIGGER audit_log_is_not_changed;
        TRUNCATE evident.audit_log;
        ALTER TABLE evident.audit_log ENABLE TRIGGER audit_log_is_not_changed;
    WHEN 'user_activity' THEN
        ALTER TABLE evident.user_activity DISABLE TRIGGER user_activity_is_not_changed;
        TRUNCATE evident.user_activity;
        ALTER TABLE evident.user_activity ENABLE TRIGGER user_activity_is_not_changed;
    END CASE;
END $$;

REVOKE EXECUTE ON FUNCTION evident.empty_records(text) FROM PUBLIC;
