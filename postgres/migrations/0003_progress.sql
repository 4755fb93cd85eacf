-- How far projections have come.
CREATE TABLE evident.checkpoints (
    projection text COLLATE "C" NOT NULL,
    version    bigint      NOT NULL,
    lane       bigint      NOT NULL,
    position   bigint      NOT NULL,
    store_id   uuid,
    fence      bigint      NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (projection, version, lane)
);

-- Sequences that are parked: those that have letters, and no others. Whoever
-- adds letters to a sequence or takes them out holds its row until the end of
-- the transaction, so that the two never pass each other.
CREATE TABLE evident.dead_letter_sequences (
    projection   text COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    sequence_key text COLLATE "C" NOT NULL,
    next_retry   timestamptz,
    PRIMARY KEY (projection, version, sequence_key)
);

-- Events that wait, in the order of their positions. They go with their sequence.
CREATE TABLE evident.dead_letters (
    projection   text COLLATE "C" NOT NULL,
    version      bigint      NOT NULL,
    sequence_key text COLLATE "C" NOT NULL,
    position     bigint      NOT NULL,
    event_id     uuid        NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    cause        text        NOT NULL,
    attempts     bigint      NOT NULL,
    parked_at    timestamptz NOT NULL,
    tried_at     timestamptz,
    PRIMARY KEY (projection, version, sequence_key, position),
    FOREIGN KEY (projection, version, sequence_key) REFERENCES evident.dead_letter_sequences ON DELETE CASCADE
);

-- Letters that somebody took out for good, and why.
CREATE TABLE evident.discarded_letters (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection   text COLLATE "C" NOT NULL,
    version      bigint      NOT NULL,
    sequence_key text COLLATE "C" NOT NULL,
    position     bigint      NOT NULL,
    event_id     uuid        NOT NULL,
    event_type   text COLLATE "C" NOT NULL,
    cause        text        NOT NULL,
    attempts     bigint      NOT NULL,
    parked_at    timestamptz NOT NULL,
    tried_at     timestamptz,
    reason       text        NOT NULL,
    discarded_by text COLLATE "C" NOT NULL,
    discarded_at timestamptz NOT NULL
);

CREATE INDEX discarded_letters_by_projection ON evident.discarded_letters (projection, version, discarded_at, id);

-- Who runs what. A lease that was given up keeps its row, without an owner, for
-- its fence.
CREATE TABLE evident.leases (
    name       text COLLATE "C" PRIMARY KEY,
    owner      text COLLATE "C" NOT NULL,
    fence      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

-- The tables that projections have made for themselves, wherever they are, and
-- the statements that made them: the database does not keep those.
CREATE TABLE evident.projection_tables (
    table_schema text   NOT NULL,
    table_name   text   NOT NULL,
    projection   text COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    definition   text   NOT NULL,
    PRIMARY KEY (table_schema, table_name)
);
