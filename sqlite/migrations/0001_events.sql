-- The file's own row: which history this is.
CREATE TABLE meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    store_id BLOB NOT NULL CHECK (length(store_id) = 16)
) STRICT;

-- One row for each event, in the one order of all events. AUTOINCREMENT keeps a
-- position from ever being given twice. Text compares byte by byte (BINARY, the
-- default), ids are 16 bytes, times are microseconds since 1970 in UTC. An
-- absent tenant or actor is '', an absent id or metadata NULL.
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

-- One event for each version of a stream; also how a stream is read and how its
-- last version is found.
CREATE UNIQUE INDEX events_by_stream ON events (aggregate_id, aggregate_type, tenant_id, aggregate_version);

-- An event is stored once, however often it is sent.
CREATE UNIQUE INDEX events_by_id ON events (event_id);

-- Everything that followed from one action, and everything that somebody did:
-- questions about a few events, which must not read all of them. Measured, each
-- adds a tenth to the insert and nothing that can be seen to a durable commit.
CREATE INDEX events_by_correlation ON events (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX events_by_actor ON events (actor_id) WHERE actor_id <> '';

-- A tenant's reads must not cost what all tenants' reads do. Events of no tenant
-- are not in it, so whoever has no tenants pays nothing.
CREATE INDEX events_by_tenant ON events (tenant_id) WHERE tenant_id <> '';

-- There is no index on event_type, on purpose: it would slow each durable
-- commit down by a twentieth, and projections want most types. They read in the
-- order of positions, which passes over a million events in about a second.

-- History is not edited.
CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never updated');
END;

CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are never deleted');
END;
