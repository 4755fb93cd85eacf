CREATE TRIGGER audit_log_is_not_deleted BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'records are never deleted');
END;

CREATE TRIGGER audit_log_is_not_replaced BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE position = NEW.position) OR EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'records are never replaced');
END;

CREATE TRIGGER audit_log_is_not_updated BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'records are never updated');
END;

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

CREATE INDEX audit_log_by_action ON audit_log (action);

CREATE INDEX audit_log_by_actor ON audit_log (actor_id);

CREATE INDEX audit_log_by_behalf ON audit_log (on_behalf_of) WHERE on_behalf_of <> '';

CREATE INDEX audit_log_by_correlation ON audit_log (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE INDEX audit_log_by_entity ON audit_log (entity_id);

CREATE INDEX audit_log_by_entity_type ON audit_log (entity_type);

CREATE INDEX audit_log_by_event_type ON audit_log (event_type) WHERE event_type IS NOT NULL;

CREATE UNIQUE INDEX audit_log_by_id ON audit_log (id);

CREATE INDEX audit_log_by_outcome ON audit_log (outcome) WHERE outcome <> 'success';

CREATE INDEX audit_log_by_owner ON audit_log (owner_id) WHERE owner_id <> '';

CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id) WHERE tenant_id <> '';

CREATE INDEX audit_log_by_tenant_action ON audit_log (tenant_id, action) WHERE tenant_id <> '';

CREATE TABLE checkpoints (
    projection TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    store_id   BLOB,
    fence      INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (projection, version, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter_sequences (
    projection   TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    sequence_key TEXT    NOT NULL,
    next_retry   INTEGER, until_position INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (projection, version, sequence_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    projection   TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    sequence_key TEXT    NOT NULL,
    position     INTEGER NOT NULL,
    event_id     BLOB    NOT NULL,
    event_type   TEXT    NOT NULL,
    cause        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    parked_at    INTEGER NOT NULL,
    tried_at     INTEGER, redrives INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (projection, version, sequence_key, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE discarded_letters (
    id           INTEGER PRIMARY KEY,
    projection   TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    sequence_key TEXT    NOT NULL,
    position     INTEGER NOT NULL,
    event_id     BLOB    NOT NULL,
    event_type   TEXT    NOT NULL,
    cause        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    parked_at    INTEGER NOT NULL,
    tried_at     INTEGER,
    reason       TEXT    NOT NULL,
    discarded_by TEXT    NOT NULL,
    discarded_at INTEGER NOT NULL
, redrives INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE INDEX discarded_letters_by_projection ON discarded_letters (projection, version, discarded_at);

CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never deleted');
END;

CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never updated');
END;

CREATE TABLE events (
    position          INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id          BLOB    NOT NULL,
    event_type        TEXT    NOT NULL,
    schema_version    INTEGER NOT NULL,
    aggregate_type    TEXT    NOT NULL,
    aggregate_id      BLOB    NOT NULL,
    aggregate_version INTEGER NOT NULL,
    tenant_id         TEXT    NOT NULL,
    actor_id          TEXT    NOT NULL,
    correlation_id    BLOB,
    causation_id      BLOB,
    occurred_at       INTEGER NOT NULL,
    recorded_at       INTEGER NOT NULL,
    metadata          TEXT,
    payload           BLOB    NOT NULL
) STRICT;

CREATE INDEX events_by_actor ON events (actor_id) WHERE actor_id <> '';

CREATE INDEX events_by_correlation ON events (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE UNIQUE INDEX events_by_id ON events (event_id);

CREATE UNIQUE INDEX events_by_stream ON events (aggregate_id, aggregate_type, tenant_id, aggregate_version);

CREATE INDEX events_by_tenant ON events (tenant_id) WHERE tenant_id <> '';

CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER legal_holds_are_not_deleted BEFORE DELETE ON legal_holds
BEGIN
    SELECT RAISE(ABORT, 'holds are never deleted');
END;

CREATE TRIGGER legal_holds_are_not_replaced BEFORE INSERT ON legal_holds
WHEN EXISTS (SELECT 1 FROM legal_holds WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM legal_holds WHERE place = NEW.place)
BEGIN
    SELECT RAISE(ABORT, 'holds are never replaced');
END;

CREATE TRIGGER legal_holds_are_only_released BEFORE UPDATE ON legal_holds
WHEN OLD.released_at IS NOT NULL OR NEW.released_at IS NULL
  OR (NEW.place, NEW.id, NEW.tenant_id, NEW.person, NEW.entity_type, NEW.entity_id, NEW.reason, NEW.placed_by, NEW.placed_at)
  IS NOT (OLD.place, OLD.id, OLD.tenant_id, OLD.person, OLD.entity_type, OLD.entity_id, OLD.reason, OLD.placed_by, OLD.placed_at)
BEGIN
    SELECT RAISE(ABORT, 'holds are never changed, only released');
END;

CREATE TABLE legal_holds (
    place          INTEGER PRIMARY KEY,
    id             BLOB    NOT NULL UNIQUE,
    tenant_id      TEXT    NOT NULL,
    person         BLOB,
    entity_type    TEXT    NOT NULL,
    entity_id      TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    placed_by      TEXT    NOT NULL,
    placed_at      INTEGER NOT NULL,
    released_at    INTEGER,
    released_by    TEXT    NOT NULL DEFAULT '',
    release_reason TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX legal_holds_that_hold ON legal_holds (tenant_id) WHERE released_at IS NULL;

CREATE TABLE meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    store_id BLOB NOT NULL CHECK (length(store_id) = 16)
) STRICT;

CREATE TABLE projection_tables (
    name       TEXT    NOT NULL COLLATE NOCASE PRIMARY KEY,
    kind       TEXT    NOT NULL CHECK (kind IN ('table', 'view')),
    projection TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    definition TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projections (
    projection     TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    state          TEXT    NOT NULL,
    since          INTEGER NOT NULL,
    lanes          INTEGER NOT NULL,
    finished       INTEGER NOT NULL,
    pause_reason   TEXT    NOT NULL,
    pause_by       TEXT    NOT NULL,
    paused_at      INTEGER,
    order_kind     TEXT    NOT NULL,
    order_lanes    INTEGER NOT NULL,
    order_position INTEGER NOT NULL,
    order_reason   TEXT    NOT NULL,
    order_by       TEXT    NOT NULL,
    ordered_at     INTEGER,
    order_problem  TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (projection, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX projections_that_are_live ON projections (projection) WHERE state = 'live';

CREATE TRIGGER pseudonyms_are_not_deleted BEFORE DELETE ON pseudonyms
BEGIN
    SELECT RAISE(ABORT, 'pseudonyms are never deleted: a token must not be given away again');
END;

CREATE TRIGGER pseudonyms_are_not_replaced BEFORE INSERT ON pseudonyms
WHEN EXISTS (SELECT 1 FROM pseudonyms WHERE token = NEW.token)
  OR EXISTS (SELECT 1 FROM pseudonyms WHERE tenant_id = NEW.tenant_id AND person = NEW.person)
BEGIN
    SELECT RAISE(ABORT, 'pseudonyms are never replaced');
END;

CREATE TRIGGER pseudonyms_are_only_cut BEFORE UPDATE ON pseudonyms
WHEN OLD.person IS NULL OR NEW.person IS NOT NULL
  OR (NEW.token, NEW.tenant_id, NEW.created_at) IS NOT (OLD.token, OLD.tenant_id, OLD.created_at)
BEGIN
    SELECT RAISE(ABORT, 'pseudonyms are never changed, only cut');
END;

CREATE TABLE pseudonyms (
    token      BLOB    NOT NULL PRIMARY KEY,
    tenant_id  TEXT    NOT NULL,
    person     TEXT,
    created_at INTEGER NOT NULL,
    cut_at     INTEGER,
    reason     TEXT    NOT NULL,
    CHECK ((person IS NULL) = (cut_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX pseudonyms_by_person ON pseudonyms (tenant_id, person) WHERE person IS NOT NULL;

CREATE TABLE snapshots (
    aggregate_id   BLOB    NOT NULL,
    aggregate_type TEXT    NOT NULL,
    tenant_id      TEXT    NOT NULL,
    store_id       BLOB    NOT NULL,
    version        INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    state          BLOB    NOT NULL,
    taken_at       INTEGER NOT NULL,
    PRIMARY KEY (aggregate_id, aggregate_type, tenant_id)
) STRICT;

CREATE TABLE sqlite_sequence(name,seq);

CREATE TRIGGER user_activity_is_not_deleted BEFORE DELETE ON user_activity
BEGIN
    SELECT RAISE(ABORT, 'activities are never deleted');
END;

CREATE TRIGGER user_activity_is_not_replaced BEFORE INSERT ON user_activity
WHEN EXISTS (SELECT 1 FROM user_activity WHERE position = NEW.position)
BEGIN
    SELECT RAISE(ABORT, 'activities are never replaced');
END;

CREATE TRIGGER user_activity_is_not_updated BEFORE UPDATE ON user_activity
BEGIN
    SELECT RAISE(ABORT, 'activities are never updated');
END;

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

CREATE INDEX user_activity_by_actor ON user_activity (actor_id);

CREATE INDEX user_activity_by_tenant ON user_activity (tenant_id) WHERE tenant_id <> '';

CREATE INDEX user_activity_by_time ON user_activity (occurred_at, tenant_id, actor_id);
