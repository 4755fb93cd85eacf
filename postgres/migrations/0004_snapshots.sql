-- The newest snapshot of each stream: a cache that may be emptied at any time.
CREATE TABLE evident.snapshots (
    aggregate_id   uuid        NOT NULL,
    aggregate_type text COLLATE "C" NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    store_id       uuid        NOT NULL,
    version        bigint      NOT NULL,
    schema_version bigint      NOT NULL,
    state          bytea       NOT NULL,
    taken_at       timestamptz NOT NULL,
    PRIMARY KEY (aggregate_id, aggregate_type, tenant_id)
);
