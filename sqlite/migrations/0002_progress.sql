-- How far projections have come.
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

-- Sequences that are parked: those that have letters, and no others.
CREATE TABLE dead_letter_sequences (
    projection   TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    sequence_key TEXT    NOT NULL,
    next_retry   INTEGER,
    PRIMARY KEY (projection, version, sequence_key)
) STRICT, WITHOUT ROWID;

-- Events that wait, in the order of their positions.
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
    tried_at     INTEGER,
    PRIMARY KEY (projection, version, sequence_key, position)
) STRICT, WITHOUT ROWID;

-- Letters that somebody took out for good, and why.
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
) STRICT;

CREATE INDEX discarded_letters_by_projection ON discarded_letters (projection, version, discarded_at);

-- Who runs what. A lease that was given up keeps its row, without an owner, for
-- its fence.
CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
