-- The newest snapshot of each stream: a cache that may be emptied at any time.
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
