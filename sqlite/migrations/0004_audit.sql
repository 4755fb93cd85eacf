-- The audit log: one row for each event, built by a projection and rebuilt by
-- replay. Text compares byte by byte, ids are 16 bytes, times are microseconds
-- since 1970 in UTC. What is absent is '', an absent id NULL. Metadata and
-- reduced are JSON, NULL if empty. The last four columns are the event that a
-- record is derived from, NULL if it is derived from none; its id and position
-- are the record's own.
CREATE TABLE audit_log (
    position          INTEGER PRIMARY KEY,
    id                BLOB    NOT NULL,
    tenant_id         TEXT    NOT NULL,
    occurred_at       INTEGER NOT NULL,
    recorded_at       INTEGER NOT NULL,
    actor_id          TEXT    NOT NULL,
    on_behalf_of      TEXT    NOT NULL,
    owner_id          TEXT    NOT NULL,
    action            TEXT    NOT NULL,
    entity_type       TEXT    NOT NULL,
    entity_id         TEXT    NOT NULL,
    entity_version    INTEGER NOT NULL,
    outcome           TEXT    NOT NULL,
    reason            TEXT    NOT NULL,
    purpose           TEXT    NOT NULL,
    description       TEXT    NOT NULL,
    request_id        TEXT    NOT NULL,
    traceparent       TEXT    NOT NULL,
    source_address    TEXT    NOT NULL,
    user_agent        TEXT    NOT NULL,
    correlation_id    BLOB,
    causation_id      BLOB,
    metadata          TEXT,
    reduced           TEXT,
    event_type        TEXT,
    aggregate_type    TEXT,
    aggregate_id      BLOB,
    aggregate_version INTEGER
) STRICT;

-- Each question has its index; the position, by which answers are ordered, is
-- the last column of every one. What few records have is indexed for those few.
CREATE UNIQUE INDEX audit_log_by_id ON audit_log (id);
CREATE INDEX audit_log_by_actor ON audit_log (actor_id);
CREATE INDEX audit_log_by_behalf ON audit_log (on_behalf_of) WHERE on_behalf_of <> '';
CREATE INDEX audit_log_by_entity ON audit_log (entity_id);
CREATE INDEX audit_log_by_entity_type ON audit_log (entity_type);
CREATE INDEX audit_log_by_action ON audit_log (action);
CREATE INDEX audit_log_by_event_type ON audit_log (event_type) WHERE event_type IS NOT NULL;
CREATE INDEX audit_log_by_outcome ON audit_log (outcome) WHERE outcome <> 'success';
CREATE INDEX audit_log_by_owner ON audit_log (owner_id) WHERE owner_id <> '';
CREATE INDEX audit_log_by_correlation ON audit_log (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id) WHERE tenant_id <> '';
CREATE INDEX audit_log_by_tenant_action ON audit_log (tenant_id, action) WHERE tenant_id <> '';

-- Records are not edited. Only a reset of the projection empties the table: it
-- takes these triggers off and puts them back within its own transaction, so
-- that nobody ever sees the table without them. The third is for INSERT OR
-- REPLACE, which deletes without asking the second.
CREATE TRIGGER audit_log_is_not_updated BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'records are never updated');
END;

CREATE TRIGGER audit_log_is_not_deleted BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'records are never deleted');
END;

CREATE TRIGGER audit_log_is_not_replaced BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE position = NEW.position) OR EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'records are never replaced');
END;

-- The feeds of all actors, built, kept and guarded in the same way. Whoever was
-- not named is 'anonymous'.
CREATE TABLE user_activity (
    position       INTEGER PRIMARY KEY,
    event_id       BLOB    NOT NULL,
    event_type     TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    entity_type    TEXT    NOT NULL,
    entity_id      TEXT    NOT NULL,
    entity_version INTEGER NOT NULL,
    tenant_id      TEXT    NOT NULL,
    actor_id       TEXT    NOT NULL,
    correlation_id BLOB,
    occurred_at    INTEGER NOT NULL,
    recorded_at    INTEGER NOT NULL
) STRICT;

-- The second answers who was active since a time without a look at the table.
CREATE INDEX user_activity_by_actor ON user_activity (actor_id);
CREATE INDEX user_activity_by_time ON user_activity (occurred_at, tenant_id, actor_id);
CREATE INDEX user_activity_by_tenant ON user_activity (tenant_id) WHERE tenant_id <> '';

CREATE TRIGGER user_activity_is_not_updated BEFORE UPDATE ON user_activity
BEGIN
    SELECT RAISE(ABORT, 'activities are never updated');
END;

CREATE TRIGGER user_activity_is_not_deleted BEFORE DELETE ON user_activity
BEGIN
    SELECT RAISE(ABORT, 'activities are never deleted');
END;

CREATE TRIGGER user_activity_is_not_replaced BEFORE INSERT ON user_activity
WHEN EXISTS (SELECT 1 FROM user_activity WHERE position = NEW.position)
BEGIN
    SELECT RAISE(ABORT, 'activities are never replaced');
END;
